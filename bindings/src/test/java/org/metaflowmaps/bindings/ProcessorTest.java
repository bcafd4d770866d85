package org.metaflowmaps.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Set;
import org.junit.jupiter.api.Test;

class ProcessorTest {
    private static final String AVX512 = "avx512f avx512dq avx512cd avx512bw avx512vl";

    @Test
    void readsTheFirstProcessor() {
        assertEquals(
                Set.of("fpu", "avx2"),
                Processor.flags(
                        "processor\t: 0\nvmx flags\t: ept\nflags\t\t: fpu avx2\nbugs\t\t: some\nflags\t\t: fpu\n"));
        assertEquals(Set.of(), Processor.flags("processor\t: 0\nFeatures\t: fp asimd\n"));
        assertEquals(Set.of(), Processor.flags(""));
    }

    @Test
    void needsAllPartsOfAvx512() {
        assertTrue(Processor.hasAvx512(Set.of((AVX512 + " avx2").split(" "))));
        for (String missing : AVX512.split(" ")) {
            assertFalse(
                    Processor.hasAvx512(
                            Set.of(AVX512.replaceFirst(missing + "( |$)", "").split(" "))),
                    missing);
        }
    }

    @Test
    void knowsBothKindsOfInstructionsForBfloat16() {
        assertTrue(Processor.hasBfloat16(Set.of((AVX512 + " avx512_bf16").split(" "))));
        assertTrue(Processor.hasBfloat16(Set.of((AVX512 + " amx_bf16").split(" "))));
        assertFalse(Processor.hasBfloat16(Set.of(AVX512.split(" "))));
        assertFalse(Processor.hasBfloat16(Set.of("avx512_bf16")));
    }
}
