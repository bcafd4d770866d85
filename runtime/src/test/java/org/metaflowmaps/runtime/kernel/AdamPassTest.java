package org.metaflowmaps.runtime.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

class AdamPassTest extends HostTest {
    /** Not a multiple of four, so that the kernel's last thread takes single values. */
    private static final int COUNT = 1027;

    private static final double RATE = 0.01;
    private static final double BETA1 = 0.9;
    private static final double BETA2 = 0.99;
    private static final double EPS = 1e-8;
    private static final double DECAY = 0.1;
    private static final double LARGEST = 5;
    private static final double AVERAGE = 0.1;
    /** RAdam's second moment becomes reliable at the sixth step. */
    private static final int STEPS = 9;

    private static final int SKIPPED = 3;

    /** The algorithms as their papers and PyTorch's documentation write them, one value at a time in float64. */
    @ParameterizedTest
    @CsvSource({"true, false", "true, true", "false, false", "false, true"})
    void stepsAreThoseOfThePapers(boolean kernel, boolean rectified) {
        DType type = kernel ? DType.FLOAT32 : DType.FLOAT64;
        AdamPass.Settings settings =
                new AdamPass.Settings(BETA1, BETA2, EPS, rectified ? 0 : DECAY, LARGEST, rectified);
        AdamPass pass = new AdamPass(kernel ? host() : Kernels.NONE, settings);
        AdamPass.Buffers buffers = buffers(type);
        int launches = kernel ? host().launches() : 0;
        double[] values = buffers.values().toDoubleArray();
        double[] mean = new double[COUNT];
        double[] square = new double[COUNT];
        double[] average = new double[COUNT];
        int taken = 0;
        for (int step = 0; step < STEPS; step++) {
            boolean skip = step == SKIPPED;
            Tensor gradient = random.normal(COUNT);
            double[] g = gradient.toDoubleArray();
            double norm = gradient.to(DType.FLOAT64).norm().item();
            // The gradients of a skipped step are often not numbers.
            buffers.gradients().copy_(skip ? gradient.mul(Double.NaN) : gradient);
            taken += skip ? 0 : 1;
            double weight = step == 0 ? 1 : AVERAGE;
            pass.step(buffers, scalars(taken, skip, skip ? Double.NaN : norm, weight));
            if (skip) {
                continue;
            }
            for (int i = 0; i < COUNT; i++) {
                double clipped = g[i] * Math.min(1, LARGEST / (norm + 1e-6));
                mean[i] = BETA1 * mean[i] + (1 - BETA1) * clipped;
                square[i] = BETA2 * square[i] + (1 - BETA2) * clipped * clipped;
                double unbiased = mean[i] / (1 - Math.pow(BETA1, taken));
                values[i] = rectified
                        ? values[i] - RATE * rectified(unbiased, square[i], taken)
                        : values[i] * (1 - RATE * DECAY)
                                - RATE * unbiased / (Math.sqrt(square[i] / (1 - Math.pow(BETA2, taken))) + EPS);
                average[i] += weight * (values[i] - average[i]);
            }
        }
        // The norm is float32.
        double bound = kernel ? 2e-6 : 1e-8;
        Precision.assertClose("values", buffers.values(), Torch.of(values, COUNT), bound);
        Precision.assertClose("mean", buffers.mean(), Torch.of(mean, COUNT), bound);
        Precision.assertClose("square", buffers.square(), Torch.of(square, COUNT), bound);
        Precision.assertClose("average", Objects.requireNonNull(buffers.average()), Torch.of(average, COUNT), bound);
        assertEquals(
                0,
                Objects.requireNonNull(buffers.shadow())
                        .sub(buffers.values().to(DType.BFLOAT16))
                        .abs()
                        .max()
                        .item());
        assertEquals(kernel ? 2 * STEPS : 0, kernel ? host().launches() - launches : 0);
    }

    private static double rectified(double unbiased, double square, int count) {
        double left = Math.pow(BETA2, count);
        double limit = 2 / (1 - BETA2) - 1;
        double length = limit - 2 * count * left / (1 - left);
        if (length <= 5) {
            return unbiased;
        }
        double trust = Math.sqrt((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length));
        return unbiased * trust * Math.sqrt(1 - left) / (Math.sqrt(square) + EPS);
    }

    /** The optimiser that training uses. */
    @Test
    void stepsAreThoseOfTheFusedOperator() {
        AdamPass.Settings settings = new AdamPass.Settings(BETA1, BETA2, EPS, DECAY, Double.POSITIVE_INFINITY, false);
        AdamPass.Buffers own = buffers(DType.FLOAT32);
        List<Tensor> theirs = new ArrayList<>();
        for (Tensor buffer : List.of(own.values(), own.mean(), own.square())) {
            theirs.add(buffer.clone());
        }
        Torch.AdamRates rates = new Torch.AdamRates(BETA1, BETA2, DECAY, EPS);
        for (int step = 1; step <= STEPS; step++) {
            own.gradients().copy_(random.normal(COUNT));
            AdamPass.Scalars scalars = scalars(step, false, 1, AVERAGE);
            new AdamPass(host(), settings).step(own, scalars);
            Torch.fusedAdamW_(
                    theirs.get(0),
                    own.gradients(),
                    theirs.get(1),
                    theirs.get(2),
                    new Torch.AdamScalars(scalars.count().to(DType.FLOAT32), scalars.learningRate(), scalars.skip()),
                    rates);
        }
        Precision.assertClose("values", own.values(), theirs.get(0), 1e-6);
        Precision.assertClose("mean", own.mean(), theirs.get(1), 1e-6);
        Precision.assertClose("square", own.square(), theirs.get(2), 1e-6);
    }

    @Test
    void kernelsAreUsedIfTheyGiveTheComposedResults() {
        Tensor values = random.normal(8);
        HostKernels host = host();
        Kernels checked = new CheckedKernels(host, Device.CPU);
        assertTrue(AdamPass.hasKernels(checked, values));
        int launches = host.launches();
        assertTrue(AdamPass.hasKernels(checked, values));
        assertEquals(launches, host.launches(), "compared once");
        assertFalse(AdamPass.hasKernels(checked, values.to(DType.FLOAT64)));
        assertFalse(AdamPass.hasKernels(Kernels.NONE, values));
        assertFalse(AdamPass.hasKernels(values), "the CPU has no kernels");
    }

    /** A kernel that leaves out its work, or forgets one of its outputs, is found. */
    @ParameterizedTest
    @CsvSource({"adam_update, -1", "adam_scalars, -1", "adam_update, 4", "adam_update, 5"})
    void aWrongKernelIsNotUsed(String wrong, int lost) {
        HostKernels host = host();
        assertTrue(AdamPass.hasKernels(new CheckedKernels(host, Device.CPU), random.normal(8)));
        Kernels broken = new Kernels() {
            @Override
            public boolean holds(Device device) {
                return host.holds(device);
            }

            @Override
            public Optional<Launcher> launcher(KernelProgram program) {
                return host.launcher(program).map(right -> (kernel, grid, block, arguments) -> {
                    if (!kernel.equals(wrong)) {
                        right.launch(kernel, grid, block, arguments);
                    } else if (lost >= 0) {
                        try (Arguments none = new Arguments()) {
                            MemorySegment pointer = none.int64(0).array();
                            MemorySegment given = arguments.array();
                            long before = given.getAtIndex(ValueLayout.JAVA_LONG, lost);
                            given.setAtIndex(ValueLayout.JAVA_LONG, lost, pointer.getAtIndex(ValueLayout.JAVA_LONG, 0));
                            right.launch(kernel, grid, block, arguments);
                            given.setAtIndex(ValueLayout.JAVA_LONG, lost, before);
                        }
                    }
                });
            }
        };
        assertFalse(AdamPass.hasKernels(new CheckedKernels(broken, Device.CPU), random.normal(8)));
    }

    @Test
    void buffersOfOtherSizesAreRefused() {
        Tensor values = random.normal(8);
        Tensor other = random.normal(9);
        assertThrows(
                IllegalArgumentException.class, () -> new AdamPass.Buffers(values, other, values, values, null, null));
        assertThrows(
                IllegalArgumentException.class,
                () -> new AdamPass.Buffers(values, values, values, values, null, values));
        assertThrows(IllegalArgumentException.class, () -> new AdamPass.Settings(1, 0.9, EPS, 0, 1, false));
    }

    private AdamPass.Buffers buffers(DType type) {
        return new AdamPass.Buffers(
                Precision.normal(random, type, COUNT),
                Torch.zeros(type, Device.CPU, COUNT),
                Torch.zeros(type, Device.CPU, COUNT),
                Torch.zeros(type, Device.CPU, COUNT),
                Torch.zeros(type, Device.CPU, COUNT),
                Torch.zeros(DType.BFLOAT16, Device.CPU, COUNT));
    }

    private static AdamPass.Scalars scalars(int count, boolean skip, double norm, double weight) {
        return new AdamPass.Scalars(
                Torch.full(RATE, DType.FLOAT64, Device.CPU),
                Torch.full(count, DType.FLOAT64, Device.CPU),
                Torch.full(skip ? 1 : 0, DType.FLOAT32, Device.CPU),
                Torch.full(norm, DType.FLOAT32, Device.CPU),
                Torch.full(weight, DType.FLOAT32, Device.CPU));
    }
}
