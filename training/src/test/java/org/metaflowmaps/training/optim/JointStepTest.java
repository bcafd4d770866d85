package org.metaflowmaps.training.optim;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.kernel.AdamPass;

/** The joint step, composed of libtorch's operators, beside clipping, optimisers and average one after the other. */
final class JointStepTest {
    private static final int STEPS = 30;
    private static final int WARM_UP = 10;
    private static final int AVERAGE_FROM = 6;

    /** Two networks' parameters, the first one averaged, as in training. */
    private record Run(ParameterArena first, ParameterArena second, MovingAverage average, List<Optimizer> optimizers)
            implements AutoCloseable {
        static Run of(Function<ParameterArena, Optimizer> maker, RandomSource random) {
            ParameterArena first = new ParameterArena(Map.of("w", Shape.of(7, 9)), Device.CPU);
            ParameterArena second = new ParameterArena(Map.of("w", Shape.of(5)), Device.CPU);
            first.values().copy_(random.normal(first.values().numel()));
            second.values().copy_(random.normal(second.values().numel()));
            return new Run(
                    first,
                    second,
                    new MovingAverage(first, 0.9, AVERAGE_FROM),
                    List.of(maker.apply(first), maker.apply(second)));
        }

        List<ParameterArena> arenas() {
            return List.of(first, second);
        }

        /** Everything that a step changes. */
        List<Tensor> state() {
            return List.of(
                    first.values(),
                    second.values(),
                    average.values(),
                    moment(0, "exp_avg"),
                    moment(0, "exp_avg_sq"),
                    moment(1, "exp_avg"),
                    moment(1, "exp_avg_sq"));
        }

        private Tensor moment(int optimizer, String name) {
            return optimizers.get(optimizer).moments().getOrDefault(name, first.values());
        }

        @Override
        public void close() {
            optimizers.forEach(Optimizer::close);
            average.close();
            first.close();
            second.close();
        }
    }

    private static Optimizer optimizer(ParameterArena arena, boolean rectified) {
        return rectified ? new RAdam(arena, 0.9, 0.95, 1e-8) : new AdamW(arena, 0.9, 0.95, 1e-8, 0.1);
    }

    /** Some steps are skipped, the first one too, with gradients that are not numbers. */
    @ParameterizedTest
    @CsvSource({"false, 3", "false, Infinity", "true, 3", "true, Infinity"})
    void stepsAreThoseOfTheSeparatePasses(boolean rectified, double largest) {
        long before = NativeMemory.liveTensors();
        int clipped = 0;
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad();
                RandomSource one = RandomSource.seeded(4);
                RandomSource two = RandomSource.seeded(4);
                Run separate = Run.of(arena -> optimizer(arena, rectified), one);
                Run together = Run.of(arena -> optimizer(arena, rectified), two);
                JointStep joint =
                        new JointStep(together.optimizers(), together.average(), largest, AdamPass::composed)) {
            WarmUp rate = new WarmUp(3e-2, WARM_UP);
            for (int step = 0; step < STEPS; step++) {
                boolean skip = step == 0 || step == 3 || step == 17;
                for (int i = 0; i < 2; i++) {
                    Tensor gradient = one.normal(
                                    separate.arenas().get(i).values().numel())
                            .mul(skip ? Double.NaN : step % 2 == 0 ? 0.1 : 3);
                    separate.arenas().get(i).gradients().copy_(gradient);
                    together.arenas().get(i).gradients().copy_(gradient);
                }
                Tensor learningRate = Torch.full(rate.at(step), DType.FLOAT64, Device.CPU);
                Tensor skipped = Torch.full(skip ? 1 : 0, DType.FLOAT32, Device.CPU);
                Tensor norm = Clipping.norm(together.arenas());
                clipped += norm.item() > largest ? 1 : 0;
                joint.step(learningRate, skipped, norm, step);
                Clipping.clip(separate.arenas(), largest);
                separate.optimizers().forEach(optimizer -> optimizer.step(learningRate, skipped));
                separate.average().update(step, skipped);
                for (int i = 0; i < separate.state().size(); i++) {
                    assertArrayEquals(
                            separate.state().get(i).toDoubleArray(),
                            together.state().get(i).toDoubleArray(),
                            2e-6 * (step + 1),
                            "step " + step + ", buffer " + i);
                }
            }
            assertEquals(STEPS - 3, together.optimizers().getFirst().steps());
            // The bound was reached in some steps and not in others.
            assertTrue(largest == Double.POSITIVE_INFINITY ? clipped == 0 : clipped > 5 && clipped < STEPS - 5);
        }
        assertEquals(before, NativeMemory.liveTensors());
    }

    /** Without kernels, as on the CPU, libtorch's fused operators take the steps. */
    @Test
    void theCpuHasNoJointStep() {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad();
                RandomSource random = RandomSource.seeded(4);
                Run run = Run.of(arena -> optimizer(arena, false), random)) {
            assertTrue(JointStep.of(run.optimizers(), run.average(), 1).isEmpty());
        }
    }
}
