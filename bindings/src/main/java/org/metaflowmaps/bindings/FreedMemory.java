package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.invoke.MethodHandle;
import java.util.Map;
import java.util.Optional;

/**
 * Whether glibc keeps freed memory of the CPU for later tensors. By default it returns large blocks to the system, and
 * the next tensor waits while the system clears its pages: a fifth of the time of convolutional networks.
 */
public final class FreedMemory {
    /** Parameters of {@code mallopt} in glibc's {@code malloc.h}. */
    private static final int TRIM_THRESHOLD = -1;

    private static final int MMAP_THRESHOLD = -3;
    private static final int MMAP_MAX = -4;
    private static final int MOST_KEPT = 1 << 30;
    private static final int DEFAULT_TRIM = 1 << 26;
    private static final int DEFAULT_THRESHOLD = 1 << 25;
    private static final int DEFAULT_MMAPS = 1 << 16;
    private static final Optional<MethodHandle> MALLOPT = bind("mallopt", JAVA_INT, JAVA_INT, JAVA_INT);
    private static final Optional<MethodHandle> TRIM = bind("malloc_trim", JAVA_INT, JAVA_LONG);

    private FreedMemory() {}

    private static Optional<MethodHandle> bind(String name, MemoryLayout result, MemoryLayout... arguments) {
        return Linker.nativeLinker()
                .defaultLookup()
                .find(name)
                .map(address ->
                        Linker.nativeLinker().downcallHandle(address, FunctionDescriptor.of(result, arguments)));
    }

    /** Returns whether {@link #keep} has an effect: with glibc, unless the environment sets its allocator up. */
    public static boolean isManaged() {
        return MALLOPT.isPresent() && TRIM.isPresent() && !isChosen(System.getenv());
    }

    /** Whether the user has set glibc's allocator up. */
    static boolean isChosen(Map<String, String> environment) {
        return environment.keySet().stream().anyMatch(name -> name.startsWith("MALLOC_"))
                || environment.getOrDefault("GLIBC_TUNABLES", "").contains("glibc.malloc.");
    }

    /** Keeps freed memory from now on; does nothing unless {@link #isManaged}. */
    public static void keep() {
        if (isManaged()) {
            set(TRIM_THRESHOLD, MOST_KEPT);
            set(MMAP_MAX, 0);
        }
    }

    /** Returns free memory to the system, also later; does nothing unless {@link #isManaged}. */
    public static void release() {
        if (isManaged()) {
            set(MMAP_MAX, DEFAULT_MMAPS);
            set(MMAP_THRESHOLD, DEFAULT_THRESHOLD);
            set(TRIM_THRESHOLD, DEFAULT_TRIM);
            trim();
        }
    }

    private static void set(int parameter, int value) {
        try {
            if ((int) MALLOPT.orElseThrow().invokeExact(parameter, value) != 1) {
                throw new AssertionError("mallopt refused " + value + " for parameter " + parameter);
            }
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    private static void trim() {
        try {
            var ignored = (int) TRIM.orElseThrow().invokeExact(0L);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }
}
