package org.metaflowmaps.steering.value;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Reward;
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
                try (PointGraphs graphs = new PointGraphs(Device.CPU, 1)) {
                    CapturedGradient captured = new CapturedGradient(estimator, graphs);
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

    /** Draws and scores of a value function are the same, at other times, steps and numbers of rows than the first. */
    @Test
    void drawsAreTheSame() {
        long before = NativeMemory.liveTensors();
        Tilt tilt = new Tilt(Rewards.of("pull", rows -> rows.square().mean(1).mul(-3)), 2);
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = SmallNetworks.transformer();
                PointGraphs graphs = new PointGraphs(Device.CPU, 2)) {
            ValueFunction value = new ValueFunction(map, tilt, 3, ValueFunction.Noise.IID, 2);
            ValueFunction captured = value.captured(graphs);
            for (int step = 0; step < 4; step++) {
                int rows = 2 + step % 2;
                KeyedNoise noise = KeyedNoise.of(1, 0, rows, 1, map.itemShape(), Device.CPU);
                Point point = new Point(
                        0.2 * step,
                        step,
                        noise.normal(SteeringNoise.Use.START, 0),
                        Condition.labelled(Torch.of(new long[rows])),
                        noise);
                ValueFunction.Draws expected = value.draws(point);
                ValueFunction.Draws found = captured.draws(point);
                assertArrayEquals(
                        expected.samples().toFloatArray(), found.samples().toFloatArray());
                assertArrayEquals(
                        expected.scores().toDoubleArray(), found.scores().toDoubleArray());
                assertArrayEquals(
                        expected.scores().toDoubleArray(),
                        captured.scores(point).toDoubleArray());
            }
        }
        assertEquals(before, NativeMemory.liveTensors());
    }

    /** An estimator that decides by the time, on the host, as an application's may. */
    private record Switching(ValueGradient early, ValueGradient late) implements ValueGradient {
        @Override
        public Estimate at(Point point) {
            return (point.time() < 0.5 ? early : late).at(point);
        }

        @Override
        public long evaluations(Condition condition) {
            return early.evaluations(condition);
        }
    }

    /** Its steps are graphs of their own, so none is replayed at another's time. */
    @Test
    void anEstimatorMayAskForTheTime() {
        Tilt tilt = new Tilt(Rewards.of("pull", rows -> rows.square().mean(1).mul(-3)), 2);
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = SmallNetworks.transformer();
                PointGraphs graphs = new PointGraphs(Device.CPU, 3)) {
            List<ValueGradient> all = Estimators.all(map, tilt, 2);
            ValueGradient estimator = new Switching(all.get(1), all.get(4));
            SteeredResult expected = sample(map, estimator, tilt);
            for (int i = 0; i < 2; i++) {
                assertArrayEquals(
                        expected.samples().toFloatArray(),
                        sample(map, new CapturedGradient(estimator, graphs), tilt)
                                .samples()
                                .toFloatArray());
            }
        }
    }

    /** A reward that is NaN on demand, and knows where. */
    private static final class Broken implements Reward {
        private boolean isBroken;

        @Override
        public String name() {
            return "sometimes";
        }

        @Override
        public Tensor score(Tensor samples, Condition condition) {
            return samples.reshape(samples.size(0), -1)
                    .mul(isBroken ? Double.NaN : 1)
                    .sum(1);
        }

        @Override
        public boolean isDifferentiable() {
            return true;
        }

        @Override
        public boolean takesStates() {
            return true;
        }

        @Override
        public String diagnosis() {
            return isBroken ? "NaN appeared first in its weights" : "";
        }
    }

    /** A score that is not finite is found and explained as without graphs, also after a graph's noise was drawn before. */
    @Test
    void badScoresAreFound() {
        Broken reward = new Broken();
        Tilt tilt = new Tilt(reward, 1);
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = SmallNetworks.transformer();
                PointGraphs graphs = new PointGraphs(Device.CPU, 1)) {
            ValueGradient estimator = Estimators.all(map, tilt, 2).get(1);
            CapturedGradient captured = new CapturedGradient(estimator, graphs);
            sample(map, captured, tilt);
            reward.isBroken = true;
            String expected = String.valueOf(assertThrows(BadScoreException.class, () -> sample(map, estimator, tilt))
                    .getMessage());
            assertTrue(expected.contains("step 0 for item 0"), expected);
            assertTrue(expected.endsWith("NaN appeared first in its weights"), expected);
            assertEquals(
                    expected,
                    assertThrows(BadScoreException.class, () -> sample(map, captured, tilt))
                            .getMessage());
        }
    }
}
