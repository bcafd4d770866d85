package org.metaflowmaps.training.optim;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.drift.Glass;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.MlpFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.loss.AlphaFlow;
import org.metaflowmaps.training.loss.Consistency;
import org.metaflowmaps.training.loss.Diagonal;
import org.metaflowmaps.training.loss.Eulerian;
import org.metaflowmaps.training.loss.ImprovedMeanFlow;
import org.metaflowmaps.training.loss.Lagrangian;
import org.metaflowmaps.training.loss.Lagrangian.Through;
import org.metaflowmaps.training.loss.Pair;
import org.metaflowmaps.training.loss.Progressive;
import org.metaflowmaps.training.loss.Regression;
import org.metaflowmaps.training.loss.Semigroup;
import org.metaflowmaps.training.loss.Shortcut;
import org.metaflowmaps.training.loss.Velocity;
import org.metaflowmaps.training.loss.Weighting;

/** Whole steps with every loss leak no native memory. */
final class TrainingMemoryTest {
    private static final int STEPS = 2_000;
    private static final int BATCH = 2;

    private static final Velocity.Field TAUGHT =
            new Velocity.Taught(new Glass((time, state, condition) -> state.neg()));

    private static final List<Consistency> LOSSES = List.of(
            new Semigroup(null),
            new Progressive(null),
            new Shortcut(null, 0),
            new Eulerian(new Velocity.Data()),
            new Eulerian(new Velocity.Own()),
            new Eulerian(TAUGHT),
            new ImprovedMeanFlow(new Velocity.Data()),
            new AlphaFlow(new Velocity.Data(), AlphaFlow.Stage.BETWEEN),
            new Lagrangian(new Velocity.Own(), Through.DERIVATIVE),
            new Lagrangian(new Velocity.Own(), Through.VELOCITY),
            new Lagrangian(TAUGHT, Through.AVERAGE));

    private static void step(
            MetaFlowMap map, Optimizer optimizer, MovingAverage average, RandomSource random, int count) {
        try (TensorScope scope = TensorScope.open()) {
            Shape shape = map.itemShape().prepend(BATCH);
            Tensor data = random.normal(shape);
            Context context = new Context(
                    random.uniform(BATCH),
                    random.normal(shape),
                    map.classes() == 0
                            ? Condition.none()
                            : Condition.labelled(random.integers(0, map.classes() + 1, BATCH)));
            Tensor start = random.uniform(BATCH).mul(0.5);
            Pair pair = new Pair(start, start.add(0.3), random.uniform(BATCH), random.normal(shape), data, context)
                    .withAlpha(Torch.scalar(0.5));
            int turn = count % (LOSSES.size() + 1);
            Regression regression = turn == LOSSES.size()
                    ? Diagonal.of(map, pair, TAUGHT)
                    : LOSSES.get(turn).of(map, pair);
            map.parameters().gradients().zero_();
            Autograd.backward(
                    new Weighting.Adaptive(1, 0.01).apply(regression, pair).loss());
            Clipping.clip(map.parameters(), 1);
            optimizer.step(1e-4);
            average.update(count);
        }
    }

    private static void liveCountsStayFlat(MetaFlowMap map, Optimizer optimizer, int steps) {
        try (RandomSource random = RandomSource.seeded(1);
                MovingAverage average = new MovingAverage(map.parameters(), 0.99, 10)) {
            step(map, optimizer, average, random, 0);
            long tensors = NativeMemory.liveTensors();
            long bytes = NativeMemory.liveBytes();
            for (int i = 0; i < steps; i++) {
                step(map, optimizer, average, random, i);
                assertEquals(tensors, NativeMemory.liveTensors(), "tensors after step " + i);
                assertEquals(bytes, NativeMemory.liveBytes(), "bytes after step " + i);
            }
            try (TensorScope scope = TensorScope.open()) {
                assertTrue(Double.isFinite(map.parameters().values().norm().item()));
            }
        }
    }

    @Test
    void transformersStepsLeaveNothingBehind() {
        try (RandomSource random = RandomSource.seeded(2);
                FlowMapTransformer map = FlowMapTransformer.initialised(
                        SmallNetworks.transformerConfig(4, 2, 1, 8, 1, 2, 3), Device.CPU, random);
                RAdam optimizer = new RAdam(map.parameters(), 0.9, 0.999, 1e-8)) {
            liveCountsStayFlat(map, optimizer, STEPS);
        }
    }

    @Test
    void smallNetworksStepsLeaveNothingBehind() {
        try (RandomSource random = RandomSource.seeded(2);
                MlpFlowMap map = MlpFlowMap.initialised(SmallNetworks.mlpConfig(2, 16, 2, 3), Device.CPU, random);
                AdamW optimizer = new AdamW(map.parameters(), 0.9, 0.999, 1e-8, 0.01)) {
            liveCountsStayFlat(map, optimizer, STEPS);
        }
    }

    /** After closing a network, its optimiser and its average, no tensors remain. */
    @Test
    void closingFreesEverything() {
        long before = NativeMemory.liveTensors();
        try (RandomSource random = RandomSource.seeded(2);
                MlpFlowMap map = MlpFlowMap.initialised(SmallNetworks.mlpConfig(2, 16, 2, 3), Device.CPU, random);
                FlowMapTransformer other = FlowMapTransformer.initialised(
                        SmallNetworks.transformerConfig(4, 2, 1, 8, 1, 2, 3), Device.CPU, random);
                AdamW first = new AdamW(map.parameters(), 0.9, 0.999, 1e-8, 0.01);
                RAdam second = new RAdam(other.parameters(), 0.9, 0.999, 1e-8);
                MovingAverage average = new MovingAverage(map.parameters(), 0.99, 0)) {
            step(map, first, average, random, 0);
            assertEquals(1, second.steps() + first.steps());
            assertTrue(NativeMemory.liveTensors() > before);
        }
        assertEquals(before, NativeMemory.liveTensors());
    }
}
