package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.metaflowmaps.runtime.Refusal.illegalArgument;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;

final class AttentionBackendTest {
    @Test
    void namesAreThoseOfTheProperty() {
        for (AttentionBackend backend : AttentionBackend.values()) {
            assertEquals(backend, AttentionBackend.parse(backend.name().toLowerCase(Locale.ROOT)));
        }
        illegalArgument("is 'fast': use auto, cudnn, flash, efficient or math", () -> AttentionBackend.parse("fast"));
    }

    private static List<AttentionBackend> tried(AttentionBackend wanted, Set<AttentionBackend> broken) {
        List<AttentionBackend> tried = new ArrayList<>();
        AttentionBackend chosen = AttentionBackend.choose(wanted, backend -> {
            tried.add(backend);
            return broken.contains(backend) ? Optional.of("broken in this test") : Optional.empty();
        });
        assertEquals(tried.getLast(), chosen);
        return tried;
    }

    @Test
    void whatFailsIsReplaced() {
        Set<AttentionBackend> none = EnumSet.noneOf(AttentionBackend.class);
        for (AttentionBackend wanted : AttentionBackend.values()) {
            assertEquals(List.of(wanted), tried(wanted, none));
        }
        Set<AttentionBackend> old = EnumSet.of(AttentionBackend.CUDNN, AttentionBackend.AUTO);
        assertEquals(List.of(AttentionBackend.CUDNN, AttentionBackend.FLASH), tried(AttentionBackend.CUDNN, old));
        assertEquals(
                List.of(AttentionBackend.EFFICIENT, AttentionBackend.FLASH, AttentionBackend.MATH),
                tried(AttentionBackend.EFFICIENT, EnumSet.of(AttentionBackend.EFFICIENT, AttentionBackend.FLASH)));
        assertEquals(
                AttentionBackend.MATH,
                tried(AttentionBackend.AUTO, EnumSet.allOf(AttentionBackend.class))
                        .getLast());
    }

    /** The trial's single operators are right: the CPU's attention passes. */
    @Test
    void theTrialPassesWhereAttentionIsRight() {
        Handles.initialise();
        long before = NativeMemory.liveTensors();
        try {
            for (AttentionBackend backend : AttentionBackend.values()) {
                assertEquals(Optional.empty(), backend.failure(Device.CPU));
            }
        } finally {
            AttentionBackend.AUTO.prefer();
        }
        assertEquals(before, NativeMemory.liveTensors());
    }

    /** The order is that of GPUs, while switching flash attention off would change the CPU's results too. */
    @Test
    void theCpuIsNotAffected() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(2)) {
            Tensor input = random.normal(2, 3, 96, 16);
            float[] before =
                    Torch.scaledDotProductAttention(input, input, input).toFloatArray();
            try {
                for (AttentionBackend backend : AttentionBackend.values()) {
                    backend.prefer();
                    assertArrayEquals(
                            before,
                            Torch.scaledDotProductAttention(input, input, input).toFloatArray());
                }
                torch.globalContext().setSDPUseFlash(false);
                assertFalse(Arrays.equals(
                        before,
                        Torch.scaledDotProductAttention(input, input, input).toFloatArray()));
            } finally {
                torch.globalContext().setSDPUseFlash(true);
                AttentionBackend.AUTO.prefer();
            }
        }
    }
}
