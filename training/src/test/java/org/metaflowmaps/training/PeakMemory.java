package org.metaflowmaps.training;

import java.io.IOException;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Measures how far the process's memory rises while code runs, by Linux's high-water mark, which includes libtorch's
 * gradient graphs and memory freed meanwhile.
 */
final class PeakMemory {
    private static final Path RESET = Path.of("/proc/self/clear_refs");
    private static final int MMAP_THRESHOLD = -3;
    private static final Linker LINKER = Linker.nativeLinker();

    private PeakMemory() {}

    /**
     * Makes the C library map each large block separately, until {@link #finish}.
     *
     * @return false if there is no such mark, as outside Linux
     */
    static boolean prepare() {
        if (!Files.isWritable(RESET) || LINKER.defaultLookup().find("mallopt").isEmpty()) {
            return false;
        }
        threshold(1 << 16);
        return true;
    }

    /** Releases free memory, because reused memory would not raise the mark. */
    private static void trim() {
        try {
            MethodHandle trim = LINKER.downcallHandle(
                    LINKER.defaultLookup().findOrThrow("malloc_trim"),
                    FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_LONG));
            if ((int) trim.invokeExact(0L) < 0) {
                throw new IllegalStateException("malloc_trim");
            }
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    /** Restores the C library's allocation. */
    static void finish() {
        threshold(1 << 25);
    }

    private static void threshold(int bytes) {
        try {
            MethodHandle mallopt = LINKER.downcallHandle(
                    LINKER.defaultLookup().findOrThrow("mallopt"),
                    FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT, ValueLayout.JAVA_INT));
            if ((int) mallopt.invokeExact(MMAP_THRESHOLD, bytes) != 1) {
                throw new IllegalStateException("mallopt refused a threshold of " + bytes);
            }
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    /** Returns the least of three rises, because the JVM's own memory only adds to them. */
    static long least(Runnable body) throws IOException {
        long least = of(body);
        for (int i = 1; i < 3; i++) {
            least = Math.min(least, of(body));
        }
        return least;
    }

    /** Returns the bytes by which memory rises. */
    private static long of(Runnable body) throws IOException {
        trim();
        Files.writeString(RESET, "5");
        long before = kilobytes("VmRSS:");
        body.run();
        return (kilobytes("VmHWM:") - before) * 1024;
    }

    private static long kilobytes(String field) throws IOException {
        return Files.readAllLines(Path.of("/proc/self/status")).stream()
                .filter(line -> line.startsWith(field))
                .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")))
                .findFirst()
                .orElseThrow();
    }
}
