package org.metaflowmaps.runtime.kernel;

import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.bindings.CudaDriver;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * A step of AdamW (arXiv 1711.05101) or RAdam (arXiv 1908.03265) with clipping, the moving average and a bfloat16 copy of the values,
 * in one pass over flat buffers. All numbers of a step are read from the device, so that a captured step can be repeated.
 *
 * <p>Kernels run for float32, libtorch's operators otherwise.
 */
public final class AdamPass {
    private static final String NAME = "AdamPass";
    private static final int THREADS = 256;
    /** Enough to fill a GPU; each thread takes several groups of four values. */
    private static final int MOST_BLOCKS = 2048;
    /** Floats of the structure {@code Scalars}. */
    private static final int SCALARS = 6;

    private static final KernelProgram PROGRAM = KernelProgram.of("adam", Map.of());

    private final Kernels kernels;
    private final Settings settings;

    AdamPass(Kernels kernels, Settings settings) {
        this.kernels = kernels;
        this.settings = settings;
    }

    /** Returns the pass composed of libtorch's operators, for comparison. */
    public static AdamPass composed(Settings settings) {
        return new AdamPass(Kernels.NONE, settings);
    }

    /** Returns the pass for the device that holds a tensor. */
    public static AdamPass on(Tensor tensor, Settings settings) {
        return new AdamPass(Kernels.of(tensor), settings);
    }

    /**
     * Returns true if kernels take the steps of a buffer. Its first call for a device compiles and checks them, see
     * {@link CheckedKernels}; it reads from the device.
     *
     * @param values the buffer to update
     */
    public static boolean hasKernels(Tensor values) {
        return hasKernels(Kernels.of(values), values);
    }

    static boolean hasKernels(Kernels kernels, Tensor values) {
        return kernels.holds(values.device())
                && values.dtype() == DType.FLOAT32
                && kernels.launcher(PROGRAM).isPresent();
    }

    /**
     * The constant numbers.
     *
     * @param beta1 decay of the mean, 0 to below 1
     * @param beta2 decay of the mean square, 0 to below 1
     * @param eps added to the root of the mean square
     * @param weightDecay decoupled decay per unit of learning rate
     * @param largestNorm to clip gradients to; infinity for no clipping
     * @param rectified RAdam instead of AdamW
     */
    public record Settings(
            double beta1, double beta2, double eps, double weightDecay, double largestNorm, boolean rectified) {
        /** Checks the ranges. */
        public Settings {
            boolean decays = beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1;
            if (!decays || !(eps > 0) || !(weightDecay >= 0) || !(largestNorm > 0)) {
                throw new IllegalArgumentException(NAME + ": beta1 " + beta1 + ", beta2 " + beta2 + ", eps " + eps
                        + ", weight decay " + weightDecay + ", largest norm " + largestNorm
                        + ": expected betas in [0, 1), eps and norm above 0, decay from 0");
            }
        }
    }

    /**
     * Flat buffers of one shape, on one device.
     *
     * @param values changed; float32 (float64 without kernels), like the three after it
     * @param gradients read, not changed: clipping is part of the pass
     * @param mean changed
     * @param square changed
     * @param average the moving average, changed; null for none
     * @param shadow bfloat16, becomes a copy of the values; null for none
     */
    public record Buffers(
            Tensor values,
            Tensor gradients,
            Tensor mean,
            Tensor square,
            @Nullable Tensor average,
            @Nullable Tensor shadow) {
        /** Checks shapes, types and devices. */
        public Buffers {
            Operand.checkLike(NAME, "gradients", gradients, values);
            Operand.checkLike(NAME, "mean", mean, values);
            Operand.checkLike(NAME, "square", square, values);
            Operand.checkLike(NAME, "average", average, values);
            Operand.check(NAME, "shadow", shadow, values.device(), values.shape());
            if (shadow != null && shadow.dtype() != DType.BFLOAT16) {
                throw new IllegalArgumentException(NAME + ": shadow is " + shadow + ", expected bfloat16");
            }
            for (Tensor buffer : new @Nullable Tensor[] {values, gradients, mean, square, average, shadow}) {
                if (buffer != null && !buffer.isContiguous()) {
                    throw new IllegalArgumentException(NAME + ": " + buffer + " is not contiguous");
                }
            }
        }
    }

    /**
     * The changing numbers, scalars on the device.
     *
     * @param learningRate float64
     * @param count float64: the number of updates with this one
     * @param skip float32: 1 changes nothing, 0 takes the step
     * @param norm float32: of all gradients together, before clipping
     * @param averageWeight float32: of the new values in the moving average, 1 to copy them
     */
    public record Scalars(Tensor learningRate, Tensor count, Tensor skip, Tensor norm, Tensor averageWeight) {
        /** Checks types and sizes. */
        public Scalars {
            scalar("learningRate", learningRate, DType.FLOAT64);
            scalar("count", count, DType.FLOAT64);
            scalar("skip", skip, DType.FLOAT32);
            scalar("norm", norm, DType.FLOAT32);
            scalar("averageWeight", averageWeight, DType.FLOAT32);
        }

        private static void scalar(String name, Tensor tensor, DType type) {
            if (tensor.numel() != 1 || tensor.dtype() != type) {
                throw new IllegalArgumentException(NAME + ": " + name + " is " + tensor + ", expected one " + type);
            }
        }
    }

    /** Takes a step. */
    public void step(Buffers buffers, Scalars scalars) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Optional<Launcher> launcher = kernels.holds(buffers.values().device())
                            && buffers.values().dtype() == DType.FLOAT32
                            && buffers.values().numel() > 0
                            && isAligned(buffers)
                    ? kernels.launcher(PROGRAM)
                    : Optional.empty();
            if (launcher.isPresent()) {
                launched(launcher.get(), buffers, scalars);
            } else {
                composed(buffers, scalars);
            }
        }
    }

    private static boolean isAligned(Buffers buffers) {
        return Operand.isAligned(buffers.values())
                && Operand.isAligned(buffers.gradients())
                && Operand.isAligned(buffers.mean())
                && Operand.isAligned(buffers.square())
                && Operand.isAligned(buffers.average())
                && Operand.isAligned(buffers.shadow());
    }

    private void launched(Launcher launcher, Buffers buffers, Scalars scalars) {
        Tensor computed = Torch.empty(DType.FLOAT32, buffers.values().device(), SCALARS);
        CudaDriver.Size one = new CudaDriver.Size(1, 1, 1);
        try (Arguments arguments = new Arguments()) {
            launcher.launch(
                    "adam_scalars",
                    one,
                    1,
                    arguments
                            .tensor(scalars.learningRate())
                            .tensor(scalars.count())
                            .tensor(scalars.skip())
                            .tensor(scalars.norm())
                            .float64(settings.beta1())
                            .float64(settings.beta2())
                            .float64(settings.eps())
                            .float64(settings.weightDecay())
                            .float64(settings.largestNorm())
                            .int32(settings.rectified() ? 1 : 0)
                            .tensor(computed));
        }
        long count = buffers.values().numel();
        try (Arguments arguments = new Arguments()) {
            launcher.launch(
                    "adam_update",
                    new CudaDriver.Size(Math.min(MOST_BLOCKS, Operand.groups(count, 4L * THREADS)), 1, 1),
                    THREADS,
                    arguments
                            .tensor(buffers.values())
                            .tensor(buffers.gradients())
                            .tensor(buffers.mean())
                            .tensor(buffers.square())
                            .tensor(buffers.average())
                            .tensor(buffers.shadow())
                            .tensor(computed)
                            .tensor(scalars.averageWeight())
                            .floats(settings.beta1(), 1 - settings.beta1(), settings.beta2(), 1 - settings.beta2())
                            .int64(count));
        }
    }

    /** Keeps the old buffers where the step is skipped, whatever the gradients are. */
    private void composed(Buffers buffers, Scalars scalars) {
        DType type = buffers.values().dtype();
        Tensor keep = scalars.skip().ne(0);
        Coefficients c = Coefficients.of(settings, scalars);
        Tensor gradient = buffers.gradients().mul(c.clip().to(type));
        Tensor mean = buffers.mean().mul(settings.beta1()).add(gradient.mul(1 - settings.beta1()));
        Tensor square =
                buffers.square().mul(settings.beta2()).add(gradient.square().mul(1 - settings.beta2()));
        Tensor divisor = square.sqrt().mul(c.slope().to(type)).add(c.offset().to(type));
        Tensor values = buffers.values()
                .mul(c.decay().to(type))
                .sub(mean.mul(c.rate().to(type)).div(divisor));
        buffers.values().copy_(Torch.where(keep, buffers.values(), values));
        buffers.mean().copy_(Torch.where(keep, buffers.mean(), mean));
        buffers.square().copy_(Torch.where(keep, buffers.square(), square));
        if (buffers.average() != null) {
            Tensor average = buffers.average()
                    .lerp(buffers.values(), scalars.averageWeight().to(type));
            buffers.average().copy_(Torch.where(keep, buffers.average(), average));
        }
        if (buffers.shadow() != null) {
            buffers.shadow().copy_(buffers.values());
        }
    }

    /** The scalars that {@code adam_scalars} computes, as float64 tensors. */
    private record Coefficients(Tensor clip, Tensor decay, Tensor rate, Tensor slope, Tensor offset) {
        static Coefficients of(Settings s, Scalars scalars) {
            Tensor count = scalars.count();
            Tensor left2 = count.mul(Math.log(s.beta2())).exp();
            Tensor correction1 = count.mul(Math.log(s.beta1())).exp().neg().add(1);
            Tensor correction2 = left2.neg().add(1);
            Tensor clip = scalars.norm()
                    .to(DType.FLOAT64)
                    .add(1e-6)
                    .reciprocal()
                    .mul(s.largestNorm())
                    .clampMax(1);
            Tensor rate = scalars.learningRate().div(correction1);
            Tensor decay = scalars.learningRate().mul(-s.weightDecay()).add(1);
            Tensor slope = correction2.rsqrt();
            Tensor offset = Torch.zerosLike(count).add(s.eps());
            if (!s.rectified()) {
                return new Coefficients(clip, decay, rate, slope, offset);
            }
            double limit = 2 / (1 - s.beta2()) - 1;
            Tensor length = count.mul(left2).div(correction2).mul(-2).add(limit);
            Tensor trust = length.sub(4)
                    .mul(length.sub(2))
                    .mul(limit)
                    .div(length)
                    .div((limit - 4) * (limit - 2))
                    .sqrt();
            Tensor reliable = length.gt(5);
            Tensor one = Torch.onesLike(count);
            return new Coefficients(
                    clip,
                    decay,
                    Torch.where(reliable, rate.mul(trust).mul(correction2.sqrt()), rate),
                    Torch.where(reliable, one, Torch.zerosLike(count)),
                    Torch.where(reliable, offset, one));
        }
    }
}
