package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.concurrent.ConcurrentHashMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Named ranges for NVIDIA's profilers, in the domain {@value #DOMAIN}, apart from those of libtorch and other libraries.
 *
 * <p>NVTX itself is a C header: each program compiles its own copy. At first use the copy loads the profiler's library
 * from the path in the environment variable {@code NVTX_INJECTION64_PATH}, which the profiler sets.
 * {@code libnvtx3interop} is NVIDIA's compiled copy for programs that are not in C. If the variable is not set,
 * {@link #push} and {@link #pop} do nothing; the system property {@code org.metaflowmaps.nvtx}, {@code true} or
 * {@code false}, overrides this.
 */
public final class Nvtx {
    /** The domain's name in profilers. */
    public static final String DOMAIN = "MetaFlowMaps";

    private static final Logger LOG = LoggerFactory.getLogger(Nvtx.class);
    private static final String INJECTION = "NVTX_INJECTION64_PATH";
    private static final int MOST_NAMES = 4096;

    private static final SharedLibrary LIBRARY = SharedLibrary.find("NVTX", "nvtx3interop", "1", "nvtx3interop.dll");
    private static final boolean ACTIVE = listening();

    private Nvtx() {}

    /** Bound only where the library is present. */
    private static final class Functions {
        static final Ffm NVTX = LIBRARY.functions();
        static final MethodHandle CREATE = NVTX.bind("nvtxDomainCreateA", FunctionDescriptor.of(JAVA_LONG, ADDRESS));
        static final MethodHandle REGISTER =
                NVTX.bind("nvtxDomainRegisterStringA", FunctionDescriptor.of(JAVA_LONG, JAVA_LONG, ADDRESS));
        static final MethodHandle PUSH =
                NVTX.bind("nvtxDomainRangePushEx", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, ADDRESS));
        static final MethodHandle POP = NVTX.bind("nvtxDomainRangePop", FunctionDescriptor.of(JAVA_INT, JAVA_LONG));

        static final long DOMAIN = create();
        /** Handles of names that the profiler knows, so that a range does not copy its name. */
        static final ConcurrentHashMap<String, Long> NAMES = new ConcurrentHashMap<>();

        private static long create() {
            try (Arena arena = Arena.ofConfined()) {
                return (long) CREATE.invokeExact(arena.allocateFrom(Nvtx.DOMAIN));
            } catch (Throwable e) {
                throw Ffm.unexpected(e);
            }
        }

        static long register(String name) {
            try (Arena arena = Arena.ofConfined()) {
                return (long) REGISTER.invokeExact(DOMAIN, arena.allocateFrom(name));
            } catch (Throwable e) {
                throw Ffm.unexpected(e);
            }
        }
    }

    /** A thread's {@code nvtxEventAttributes_t}, version 3. */
    private static final class Attributes {
        static final int BYTES = 48;
        static final int PAYLOAD_TYPE = 16;
        static final int PAYLOAD = 24;
        static final int MESSAGE_TYPE = 32;
        static final int MESSAGE = 40;
        static final int SIGNED_64 = 2;
        static final int ASCII = 1;
        static final int REGISTERED = 3;

        static final ThreadLocal<MemorySegment> OWN = ThreadLocal.withInitial(Attributes::make);

        private Attributes() {}

        private static MemorySegment make() {
            MemorySegment attributes = Arena.ofAuto().allocate(BYTES, 8);
            attributes.set(JAVA_SHORT, 0, (short) 3);
            attributes.set(JAVA_SHORT, 2, (short) BYTES);
            return attributes;
        }
    }

    /** Whether the library was found; a profiler need not be running. */
    public static Availability availability() {
        return LIBRARY.availability();
    }

    /** Returns whether ranges reach a profiler; decided once, when this class is first used. */
    public static boolean isActive() {
        return ACTIVE;
    }

    /** Opens a range on this thread, within the open one ({@code nvtxDomainRangePushEx}); use few, fixed names. */
    public static void push(String name) {
        if (ACTIVE) {
            begin(name, false, 0);
        }
    }

    /** As {@link #push(String)}, with a number that profilers show as the range's payload. */
    public static void push(String name, long number) {
        if (ACTIVE) {
            begin(name, true, number);
        }
    }

    /** Closes the innermost range of this thread ({@code nvtxDomainRangePop}). */
    public static void pop() {
        if (ACTIVE) {
            end();
        }
    }

    private static void begin(String name, boolean numbered, long number) {
        MemorySegment attributes = Attributes.OWN.get();
        attributes.set(JAVA_INT, Attributes.PAYLOAD_TYPE, numbered ? Attributes.SIGNED_64 : 0);
        attributes.set(JAVA_LONG, Attributes.PAYLOAD, number);
        Long handle = Functions.NAMES.get(name);
        if (handle == null && Functions.NAMES.size() < MOST_NAMES) {
            handle = Functions.NAMES.computeIfAbsent(name, Functions::register);
        }
        if (handle != null) {
            begin(attributes, Attributes.REGISTERED, handle);
        } else {
            try (Arena arena = Arena.ofConfined()) {
                begin(attributes, Attributes.ASCII, arena.allocateFrom(name).address());
            }
        }
    }

    // The depth, or a negative number if the profiler does not count; neither is an error.
    private static int begin(MemorySegment attributes, int type, long message) {
        attributes.set(JAVA_INT, Attributes.MESSAGE_TYPE, type);
        attributes.set(JAVA_LONG, Attributes.MESSAGE, message);
        try {
            return (int) Functions.PUSH.invokeExact(Functions.DOMAIN, attributes);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    private static int end() {
        try {
            return (int) Functions.POP.invokeExact(Functions.DOMAIN);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    private static boolean listening() {
        String wanted = System.getProperty("org.metaflowmaps.nvtx");
        String injection = System.getenv(INJECTION);
        boolean listening = wanted != null ? Boolean.parseBoolean(wanted) : injection != null && !injection.isEmpty();
        if (listening && LIBRARY.availability() instanceof Availability.Missing missing) {
            LOG.warn("A profiler listens, but it will see no named ranges. {}", missing.reason());
            return false;
        }
        return listening;
    }
}
