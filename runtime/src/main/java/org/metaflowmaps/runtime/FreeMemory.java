package org.metaflowmaps.runtime;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/**
 * How much memory this process can still allocate. Requests for more are refused early, because Linux grants memory
 * that it does not have and later kills the process.
 *
 * <p>On Linux it is the kernel's available memory plus free swap, limited by the process's control groups, such as a
 * container's limit; page cache counts as free. On other systems it is the free physical memory that the JVM reports.
 */
public final class FreeMemory {
    private static final long UNLIMITED = Long.MAX_VALUE;

    private FreeMemory() {}

    /** Returns the bytes that can still be allocated; {@link Long#MAX_VALUE} if the system does not report it. */
    public static long bytes() {
        return bytes(Path.of("/proc"), Path.of("/sys/fs/cgroup"));
    }

    /**
     * Throws if a request needs more memory than is free; a request close to the limit passes.
     *
     * @param what the user of the memory, as the subject of a sentence, such as "a network of 5 parameters"
     * @param needed bytes; negative counts as more than any memory
     * @param cure what to do, such as "lower batch"
     * @throws IllegalArgumentException with both numbers, if more is needed than is free
     */
    public static void require(String what, long needed, String cure) {
        // Do not read system files for small requests.
        if (needed < 0 || (needed > 1 << 24 && needed > bytes())) {
            throw new IllegalArgumentException(what + " needs " + (needed < 0 ? "more than 8 EiB" : text(needed))
                    + " of memory, " + text(bytes()) + " are free: " + cure);
        }
    }

    /** Returns a number of bytes as text, such as {@code 1.5 GiB}. */
    public static String text(long bytes) {
        List<String> units = List.of("KiB", "MiB", "GiB", "TiB", "PiB", "EiB");
        double value = bytes / 1024.0;
        int unit = 0;
        while (value >= 1000 && unit < units.size() - 1) {
            value /= 1024;
            unit++;
        }
        return String.format(Locale.ROOT, value < 10 ? "%.1f %s" : "%.0f %s", value, units.get(unit));
    }

    static long bytes(Path proc, Path groups) {
        long available = field(proc.resolve("meminfo"), "MemAvailable:", 1024);
        if (available < 0) {
            return ManagementFactory.getOperatingSystemMXBean() instanceof OperatingSystemMXBean system
                    ? system.getFreeMemorySize()
                    : UNLIMITED;
        }
        available += Math.max(0, field(proc.resolve("meminfo"), "SwapFree:", 1024));
        for (String line : lines(proc.resolve("self/cgroup"))) {
            String[] parts = line.split(":", 3);
            if (parts.length == 3 && parts[1].isEmpty()) {
                available = Math.min(available, left(groups, parts[2], "memory.max", "memory.current", ""));
            } else if (parts.length == 3 && List.of(parts[1].split(",")).contains("memory")) {
                available = Math.min(
                        available,
                        left(
                                groups.resolve("memory"),
                                parts[2],
                                "memory.limit_in_bytes",
                                "memory.usage_in_bytes",
                                "total_"));
            }
        }
        return available;
    }

    /** Returns the memory left by the limits of a group and of its parent groups. */
    private static long left(Path root, String name, String limit, String usage, String prefix) {
        long left = UNLIMITED;
        // Inside a container the group's name may not be visible; its limit is then at the root.
        Path group = root.resolve(name.replaceAll("^/+", "")).normalize();
        for (Path at = group; at != null && at.startsWith(root); at = at.getParent()) {
            long most = number(lines(at.resolve(limit)));
            long used = number(lines(at.resolve(usage)));
            if (most >= 0 && used >= 0) {
                Path stat = at.resolve("memory.stat");
                long reclaimable = Math.max(0, field(stat, prefix + "inactive_file ", 1))
                        + Math.max(0, field(stat, prefix + "active_file ", 1));
                left = Math.min(left, Math.max(0, most - used + reclaimable));
            }
        }
        return left;
    }

    private static long field(Path file, String name, long unit) {
        for (String line : lines(file)) {
            if (line.startsWith(name)) {
                return number(List.of(
                                line.substring(name.length()).replace("kB", "").strip()))
                        * unit;
            }
        }
        return -1;
    }

    private static long number(List<String> lines) {
        try {
            return lines.isEmpty() ? -1 : Long.parseLong(lines.getFirst().strip());
        } catch (NumberFormatException e) {
            // "max": no limit.
            return -1;
        }
    }

    private static List<String> lines(Path file) {
        try {
            return Files.isReadable(file) ? Files.readAllLines(file) : List.of();
        } catch (IOException e) {
            return List.of();
        }
    }
}
