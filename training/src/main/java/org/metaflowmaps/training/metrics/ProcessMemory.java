package org.metaflowmaps.training.metrics;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalLong;

/** Memory of this process, heap and native together. */
public final class ProcessMemory {
    private static final Path STATUS = Path.of("/proc/self/status");

    private ProcessMemory() {}

    /** Returns peak resident bytes; empty if the system does not report them. */
    public static OptionalLong peak() {
        return field("VmHWM:");
    }

    /** Returns resident bytes; empty if the system does not report them. */
    public static OptionalLong resident() {
        return field("VmRSS:");
    }

    @SuppressWarnings("UnusedException")
    private static OptionalLong field(String name) {
        try {
            return Files.exists(STATUS)
                    ? Files.readAllLines(STATUS).stream()
                            .filter(line -> line.startsWith(name))
                            .mapToLong(line -> Long.parseLong(line.replaceAll("[^0-9]", "")) * 1024)
                            .findFirst()
                    : OptionalLong.empty();
        } catch (IOException e) {
            return OptionalLong.empty();
        }
    }
}
