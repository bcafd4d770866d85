package org.metaflowmaps.training;

import java.io.IOException;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * How far the process's memory rises while something runs, by Linux's own high-water mark: it sees what libtorch's gradient graphs
 * hold too, and memory that was freed no more.
 */
final class PeakMemory {
    private static final Path RESET = Path.of("/proc/self/clear_refs");
    private static final int MMAP_THRESHOLD = -3;
    private static final Linker LINKER = Linker.nativeLinker();

    private PeakMemory() {}

    /**
     * From here on large blocks are mapped one by one; ends with {@link #finish}.
     *
     * @return false where there is no such mark, as outside of Linux
     */
    static boolean prepare() {
        if (!Files.isWritable(RESET) || LINKER.defaultLookup().find("mallopt").isEmpty()) {
            return false;
        }
        threshold(1 << 16);
        return true;
    }

    /** Gives back what is free: memory that earlier work left would be used again, and not be seen. */
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

    /** Memory is handed out as before. */
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

    /** The least of three rises: what the JVM takes for itself meanwhile only adds. */
    static long least(Runnable body) throws IOException {
        long least = of(body);
        for (int i = 1; i < 3; i++) {
            least = Math.min(least, of(body));
        }
        return least;
    }

    /** The bytes by which memory rises above what it is before. */
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
