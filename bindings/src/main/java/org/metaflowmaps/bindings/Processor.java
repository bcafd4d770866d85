package org.metaflowmaps.bindings;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Set;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** What this machine's processor can do, as far as the system tells it. */
public final class Processor {
    private static final Logger LOG = LoggerFactory.getLogger(Processor.class);
    private static final Path DESCRIPTION = Path.of("/proc/cpuinfo");
    /** The sets of instructions that libraries ask for before they use registers of 512 bits. */
    private static final Set<String> AVX512 = Set.of("avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl");

    private static final Set<String> FLAGS = flags(description());

    private Processor() {}

    /** Whether it is an x86-64 processor with AVX-512; false on systems other than Linux. */
    public static boolean hasAvx512() {
        return hasAvx512(FLAGS);
    }

    /** Whether it is an x86-64 processor that multiplies bfloat16 numbers; false on systems other than Linux. */
    public static boolean hasBfloat16() {
        return hasBfloat16(FLAGS);
    }

    static boolean hasAvx512(Set<String> flags) {
        return flags.containsAll(AVX512);
    }

    static boolean hasBfloat16(Set<String> flags) {
        return hasAvx512(flags) && (flags.contains("avx512_bf16") || flags.contains("amx_bf16"));
    }

    /**
     * Returns what the first processor of a machine can do.
     *
     * @param description as Linux gives it in {@code /proc/cpuinfo}
     */
    static Set<String> flags(String description) {
        return description
                .lines()
                .filter(line -> line.startsWith("flags"))
                .findFirst()
                .map(line -> Set.copyOf(Arrays.asList(
                        line.substring(line.indexOf(':') + 1).strip().split(" +"))))
                .orElse(Set.of());
    }

    private static String description() {
        if (!Files.isReadable(DESCRIPTION)) {
            return "";
        }
        try {
            return Files.readString(DESCRIPTION, StandardCharsets.ISO_8859_1);
        } catch (IOException e) {
            LOG.debug("{} cannot be read", DESCRIPTION, e);
            return "";
        }
    }
}
