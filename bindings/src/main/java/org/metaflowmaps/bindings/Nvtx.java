package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.concurrent.ConcurrentHashMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Named ranges for NVIDIA's profilers.
 *
 * <p>NVTX itself is a C header: each program compiles its own copy. At first use the copy loads the profiler's library
 * from the path in the environment variable {@code NVTX_INJECTION64_PATH}, which the profiler sets.
 * {@code libnvtx3interop} is NVIDIA's compiled copy for programs that are not in C. If the variable is not set,
 * {@link #push} and {@link #pop} do nothing; the system property {@code org.metaflowmaps.nvtx}, {@code true} or
 * {@code false}, overrides this.
 */
public final class Nvtx {
    private static final Logger LOG = LoggerFactory.getLogger(Nvtx.class);
    private static final String INJECTION = "NVTX_INJECTION64_PATH";
    private static final int MOST_NAMES = 4096;

    private static final SharedLibrary LIBRARY = SharedLibrary.find("NVTX", "nvtx3interop", "1", "nvtx3interop.dll");
    private static final boolean ACTIVE = listening();

    private Nvtx() {}

    /** Bound only where the library is present. */
    private static final class Functions {
        static final Ffm NVTX = LIBRARY.functions();
        static final MethodHandle PUSH = NVTX.bind("nvtxRangePushA", FunctionDescriptor.of(JAVA_INT, ADDRESS));
        static final MethodHandle POP = NVTX.bind("nvtxRangePop", FunctionDescriptor.of(JAVA_INT));
        static final ConcurrentHashMap<String, MemorySegment> NAMES = new ConcurrentHashMap<>();
    }

    /** Whether the library was found; a profiler need not be running. */
    public static Availability availability() {
        return LIBRARY.availability();
    }

    /** Returns whether ranges reach a profiler; decided once, when this class is first used. */
    public static boolean isActive() {
        return ACTIVE;
    }

    /** Opens a range on this thread, within the open one ({@code nvtxRangePushA}); use few, fixed names. */
    public static void push(String name) {
        if (ACTIVE) {
            begin(name);
        }
    }

    /** Closes the innermost range of this thread ({@code nvtxRangePop}). */
    public static void pop() {
        if (ACTIVE) {
            end();
        }
    }

    private static void begin(String name) {
        MemorySegment text = Functions.NAMES.get(name);
        if (text != null) {
            begin(text);
        } else if (Functions.NAMES.size() < MOST_NAMES) {
            begin(Functions.NAMES.computeIfAbsent(name, Arena.global()::allocateFrom));
        } else {
            try (Arena arena = Arena.ofConfined()) {
                begin(arena.allocateFrom(name));
            }
        }
    }

    // The depth, or a negative number if the profiler does not count; neither is an error.
    private static int begin(MemorySegment name) {
        try {
            return (int) Functions.PUSH.invokeExact(name);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    private static int end() {
        try {
            return (int) Functions.POP.invokeExact();
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
