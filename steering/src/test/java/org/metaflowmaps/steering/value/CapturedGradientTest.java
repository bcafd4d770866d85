package org.metaflowmaps.steering.value;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.sampler.CorrectionScale;
import org.metaflowmaps.steering.sampler.Dynamics;
import org.metaflowmaps.steering.sampler.Schedule;
import org.metaflowmaps.steering.sampler.SteeredResult;
import org.metaflowmaps.steering.sampler.SteeredSampler;

/** On the CPU a captured estimator gives the estimator's samples and errors. */
final class CapturedGradientTest {
    private static SteeredResult sample(MetaFlowMap map, ValueGradient estimator, Tilt tilt) {
        return new SteeredSampler(
                        Schedule.always(estimator),
                        TimeGrid.linspace(0.01, 3),
                        Dynamics.SDE,
                        CorrectionScale.PAPER,
                        Optional.of(tilt),
                        true)
                .sample(
                        KeyedNoise.of(1, 0, 2, 1, map.itemShape(), Device.CPU),
                        Condition.labelled(Torch.of(new long[] {0, 2})));
    }

    @Test
    void samplesAreTheSame() {
        long before = NativeMemory.liveTensors();
        Tilt tilt = new Tilt(
                Rewards.of("pull", rows -> rows.sub(0.5).square().mean(1).mul(-3)), 2);
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = SmallNetworks.transformer()) {
            for (ValueGradient estimator : Estimators.all(map, tilt, 2)) {
                try (CapturedGradient captured = new CapturedGradient(estimator, Device.CPU, 3)) {
                    SteeredResult expected = sample(map, estimator, tilt);
                    for (int i = 0; i < 3; i++) {
                        SteeredResult found = sample(map, captured, tilt);
                        assertArrayEquals(
                                expected.samples().toFloatArray(),
                                found.samples().toFloatArray());
                        assertArrayEquals(
                                expected.trace().orElseThrow().value().toFloatArray(),
                                found.trace().orElseThrow().value().toFloatArray());
                        assertEquals(expected.evaluations(), found.evaluations());
                    }
                }
            }
        }
        assertEquals(before, NativeMemory.liveTensors());
    }

    /** A score that is not finite is found, also in a run whose noise was drawn before. */
    @Test
    void badScoresAreFound() {
        boolean[] broken = {false};
        Tilt tilt = new Tilt(
                Rewards.of(
                        "sometimes",
                        rows -> rows.mul(broken[0] ? Double.NaN : 1).sum(1)),
                1);
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = SmallNetworks.transformer();
                CapturedGradient captured =
                        new CapturedGradient(Estimators.all(map, tilt, 2).get(1), Device.CPU, 3)) {
            sample(map, captured, tilt);
            broken[0] = true;
            BadScoreException found = assertThrows(BadScoreException.class, () -> sample(map, captured, tilt));
            assertTrue(String.valueOf(found.getMessage()).contains("step 0 for item 0"), found::toString);
        }
    }
}
