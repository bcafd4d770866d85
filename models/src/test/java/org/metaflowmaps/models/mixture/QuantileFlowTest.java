package org.metaflowmaps.models.mixture;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Close.assertClose;

import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * The exact one-dimensional map compared with the flow of the exact conditional drift, and its tangents with
 * differences.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class QuantileFlowTest {
    private static final int ITEMS = 64;

    private final GaussianMixture mixture = Mixtures.line();
    private final QuantileFlow flow = new QuantileFlow(mixture);

    @AfterAll
    void close() {
        flow.close();
        mixture.close();
    }

    /** Sorted times, a state and a context of each item, float64; some items labelled, some far from the law. */
    private record Given(Tensor start, Tensor end, Tensor state, Context context) {
        static Given random(long seed) {
            try (RandomSource random = RandomSource.seeded(seed)) {
                Tensor both = random.uniform(2, ITEMS).to(DType.FLOAT64).sort(0).values();
                long[] labels = new long[ITEMS];
                for (int i = 0; i < ITEMS; i++) {
                    labels[i] = i % 3;
                }
                Context context = new Context(
                        random.uniform(ITEMS).to(DType.FLOAT64).mul(0.95),
                        random.normal(ITEMS, 1).to(DType.FLOAT64).mul(2),
                        Condition.labelled(Torch.of(labels)));
                return new Given(
                        both.select(0, 0),
                        both.select(0, 1),
                        random.normal(ITEMS, 1).to(DType.FLOAT64).mul(1.5),
                        context);
            }
        }
    }

    @Test
    void jumpsSolveTheEquationOfTheConditionalDrift() {
        int steps = 400;
        try (TensorScope scope = TensorScope.open()) {
            Given at = Given.random(1);
            Tensor step = at.end.sub(at.start).div(steps);
            Tensor width = step.unsqueeze(1);
            Tensor x = at.state;
            Tensor s = at.start;
            for (int i = 0; i < steps; i++) {
                Tensor middle = s.add(step.mul(0.5));
                Tensor first = velocity(s, x, at.context);
                Tensor second = velocity(middle, x.add(width.mul(0.5).mul(first)), at.context);
                Tensor third = velocity(middle, x.add(width.mul(0.5).mul(second)), at.context);
                s = at.start.add(step.mul(i + 1));
                Tensor fourth = velocity(s, x.add(width.mul(third)), at.context);
                x = x.add(width.div(6)
                        .mul(first.add(second.mul(2)).add(third.mul(2)).add(fourth)));
            }
            assertClose(x, flow.flowMap(at.start, at.end, at.state, at.context), 1e-7, "where the flow leads");
        }
    }

    private Tensor velocity(Tensor time, Tensor state, Context context) {
        return mixture.conditionalDrift().at(time, state, context);
    }

    @Test
    void jumpsComposeAndTurnBack() {
        try (TensorScope scope = TensorScope.open()) {
            Given at = Given.random(2);
            Tensor middle = at.start.add(at.end).mul(0.5);
            Tensor between = flow.flowMap(at.start, middle, at.state, at.context);
            Tensor there = flow.flowMap(at.start, at.end, at.state, at.context);
            assertClose(there, flow.flowMap(middle, at.end, between, at.context), 1e-10, "two jumps");
            assertClose(at.state, flow.flowMap(at.end, at.start, there, at.context), 1e-10, "there and back");
        }
    }

    @Test
    void theDiagonalIsTheConditionalDrift() {
        try (TensorScope scope = TensorScope.open()) {
            Given at = Given.random(3);
            assertClose(
                    velocity(at.start, at.state, at.context),
                    flow.averageVelocity(at.start, at.start, at.state, at.context),
                    1e-10,
                    "v(s, s)");
            Tensor nearly = at.start.add(2e-5);
            assertClose(
                    flow.averageVelocity(at.start, at.start.add(4e-5), at.state, at.context),
                    flow.averageVelocity(at.start, nearly, at.state, at.context),
                    1e-3,
                    "no jump where the series ends");
        }
    }

    @Test
    void tangentsAreThoseOfDifferences() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(4)) {
            Given jump = Given.random(4);
            Tensor apart = jump.end.sub(jump.start).gt(0.02);
            Tensor end = Torch.where(apart, jump.end, jump.start.add(0.02));
            for (Tensor last : List.of(end, jump.start)) {
                Tensor ds = random.normal(ITEMS).to(DType.FLOAT64);
                Tensor du = random.normal(ITEMS).to(DType.FLOAT64);
                Tensor dx = random.normal(ITEMS, 1).to(DType.FLOAT64);
                Dual v = flow.averageVelocity(
                        Dual.of(jump.start, ds), Dual.of(last, du), Dual.of(jump.state, dx), jump.context);
                // Large enough that both ends of a difference on the diagonal are jumps; the error is proportional to
                // its square.
                double wide = 5e-4;
                Tensor ahead = moved(jump, last, ds, du, dx, wide);
                Tensor behind = moved(jump, last, ds, du, dx, -wide);
                assertClose(ahead.sub(behind).div(2 * wide), v.tangentOrZero(), 2e-4, "along a direction");
            }
            assertEquals(
                    0,
                    flow.averageVelocity(
                                    Dual.constant(jump.start),
                                    Dual.of(end, Torch.zerosLike(end)),
                                    Dual.constant(jump.state),
                                    jump.context)
                            .tangentOrZero()
                            .abs()
                            .max()
                            .item());
        }
    }

    private Tensor moved(Given jump, Tensor end, Tensor ds, Tensor du, Tensor dx, double by) {
        return flow.averageVelocity(
                jump.start.add(ds.mul(by)), end.add(du.mul(by)), jump.state.add(dx.mul(by)), jump.context);
    }

    @Test
    void float32AndTheOffsetsGradient() {
        long live = NativeMemory.liveTensors();
        try (TensorScope scope = TensorScope.open();
                QuantileFlow own = new QuantileFlow(mixture)) {
            Given at = Given.random(5);
            Context single = new Context(
                    at.context.time().to(DType.FLOAT32), at.context.state().to(DType.FLOAT32), at.context.condition());
            Tensor v = own.averageVelocity(
                    at.start.to(DType.FLOAT32), at.end.to(DType.FLOAT32), at.state.to(DType.FLOAT32), single);
            assertEquals(DType.FLOAT32, v.dtype());
            assertTrue(v.isFinite().all().item() == 1);
            Autograd.backward(v.sum());
            assertEquals(ITEMS, own.parameters().gradients().sum().item(), 1e-3);
            try (Autograd.Mode off = Autograd.noGrad()) {
                assertFalse(own.averageVelocity(at.start, at.end, at.state, at.context)
                        .requiresGrad());
            }
        }
        assertEquals(live, NativeMemory.liveTensors());
    }
}
