package org.metaflowmaps.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

class ProcessorTest {
    private static final Set<String> AVX512 = Set.of("avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl");

    @Test
    void readsTheFirstProcessor() {
        assertEquals(
                Set.of("fpu", "avx2"),
                Processor.flags(
                        "processor\t: 0\nvmx flags\t: ept\nflags\t\t: fpu avx2\nbugs\t\t: some\nflags\t\t: fpu\n"));
        assertEquals(Set.of(), Processor.flags("processor\t: 0\nFeatures\t: fp asimd\n"));
        assertEquals(Set.of(), Processor.flags(""));
    }

    private static Set<String> with(String flag) {
        Set<String> flags = new HashSet<>(AVX512);
        flags.add(flag);
        return flags;
    }

    @Test
    void needsAllPartsOfAvx512() {
        assertTrue(Processor.hasAvx512(with("avx2")));
        for (String missing : AVX512) {
            Set<String> others = with("avx2");
            others.remove(missing);
            assertFalse(Processor.hasAvx512(others), missing);
        }
    }

    @Test
    void knowsBothKindsOfInstructionsForBfloat16() {
        assertTrue(Processor.hasBfloat16(with("avx512_bf16")));
        assertTrue(Processor.hasBfloat16(with("amx_bf16")));
        assertFalse(Processor.hasBfloat16(AVX512));
        assertFalse(Processor.hasBfloat16(Set.of("avx512_bf16")));
    }
}
