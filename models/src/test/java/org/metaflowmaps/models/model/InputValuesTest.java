package org.metaflowmaps.models.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** A caller's values out of range are rejected; values drawn by a training step are not read back. */
final class InputValuesTest {
    private static final long[] LABELS = {0, 3, 2};

    @ParameterizedTest
    @ValueSource(floats = {-1e-3f, 1.001f, Float.NaN, Float.POSITIVE_INFINITY})
    void timesOutOfRangeAreRefused(float wrong) {
        long before = NativeMemory.liveTensors();
        try (FlowMapTransformer map = SmallNetworks.transformer();
                TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(4);
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor state = random.normal(3, 2, 4, 4);
            Tensor good = Torch.of(new float[] {0, 0.5f, 1});
            Tensor bad = Torch.of(new float[] {0, wrong, 1});
            assertRefused(() -> new Context(bad, state), "context time of item 1", "expected 0 (noise) to 1 (data)");
            Context context = new Context(good, state);
            assertRefused(() -> map.averageVelocity(bad, good, state, context), "start time of item 1");
            assertRefused(() -> map.flowMap(good, bad, state, context), "end time of item 1");
            assertEquals(
                    3,
                    map.averageVelocity(bad, good, state, Context.unchecked(good, state, Condition.none()))
                            .size(0));
        }
        assertEquals(before, NativeMemory.liveTensors());
    }

    @Test
    void labelsAndScalesOutOfRangeAreRefused() {
        try (FlowMapTransformer map = SmallNetworks.transformer();
                TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(4);
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor state = random.normal(3, 2, 4, 4);
            Tensor time = Torch.of(new float[] {0, 0.5f, 1});
            for (float wrong : new float[] {Float.NaN, Float.NEGATIVE_INFINITY}) {
                Tensor scale = Torch.of(new float[] {1, 1, wrong});
                assertRefused(
                        () -> new Context(time, state, Condition.none().guided(scale)), "guidance of item 2", "finite");
                assertRefused(
                        () -> Context.unconditional(state, Condition.none().guided(scale)), "guidance of item 2");
                assertRefused(
                        () -> new Context(time, state).with(Condition.none().guided(scale)), "guidance of item 2");
            }
            for (long wrong : new long[] {-1, 4}) {
                Context context = new Context(time, state, Condition.labelled(Torch.of(new long[] {0, wrong, 1})));
                assertRefused(
                        () -> map.averageVelocity(time, time, state, context),
                        "label " + wrong + " of item 1",
                        "classes 0 to 2",
                        "3 for no label");
                assertRefused(() -> context.checkedFor(map), "label " + wrong + " of item 1");
            }
            Context context = new Context(time, state, Condition.labelled(Torch.of(LABELS)));
            assertArrayEquals(
                    map.averageVelocity(time, time, state, context).toFloatArray(),
                    map.averageVelocity(time, time, state, context.checkedFor(map))
                            .toFloatArray());
        }
    }
}
