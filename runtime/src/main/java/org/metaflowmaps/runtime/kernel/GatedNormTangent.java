package org.metaflowmaps.runtime.kernel;

import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.bindings.CudaDriver;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * {@link GatedNorm} with a directional derivative, value and tangent in one pass over memory. Records no gradients. Kernels run as for
 * {@link GatedNorm}.
 */
public final class GatedNormTangent {
    private static final String NAME = "GatedNormTangent";
    private static final int WARPS = 4;

    private final Kernels kernels;

    GatedNormTangent(Kernels kernels) {
        this.kernels = kernels;
    }

    /** Returns the operation composed of libtorch's operators, for comparison. */
    public static GatedNormTangent composed() {
        return new GatedNormTangent(Kernels.NONE);
    }

    /** Returns the operation for the device that holds a tensor. */
    public static GatedNormTangent on(Tensor tensor) {
        return new GatedNormTangent(Kernels.of(tensor));
    }

    /**
     * Directions of the operands, of their shapes and types; null for zero.
     *
     * @param gate given together with shift and scale if there is a branch, else null
     * @param shift given together with scale
     */
    public record Direction(
            @Nullable Tensor stream,
            @Nullable Tensor branch,
            @Nullable Tensor gate,
            @Nullable Tensor shift,
            @Nullable Tensor scale) {}

    /**
     * The results, in the innermost open scope.
     *
     * @param value of {@link GatedNorm#forward}
     * @param sum the sum's derivative, of its type
     * @param output the output's derivative, of its type
     */
    public record Output(GatedNorm.Output value, Tensor sum, Tensor output) {}

    /**
     * Computes sum and output with their derivatives.
     *
     * @param type of the output: with a branch, the branch's
     * @param eps added to the variance
     */
    public Output forward(GatedNorm.Input input, Direction direction, DType type, double eps) {
        Tensor branch = input.branch();
        if (branch != null && branch.dtype() != type) {
            throw new IllegalArgumentException(
                    NAME + ": the output's type is " + type + ", expected the branch's, " + branch.dtype());
        }
        check(input, direction);
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Optional<Launcher> launcher = GatedNorm.launcher(kernels, "norm_tangent", input, type);
            Output result = launcher.isPresent()
                    ? launched(launcher.get(), input, direction, type, eps)
                    : composed(input, direction, type, eps);
            GatedNorm.Output value = result.value();
            Tensor direct = direction.stream();
            return new Output(
                    new GatedNorm.Output(
                            branch == null ? input.stream() : scope.keep(value.sum()),
                            scope.keep(value.output()),
                            scope.keep(value.mean()),
                            scope.keep(value.rstd())),
                    branch == null && direct != null ? direct : scope.keep(result.sum()),
                    scope.keep(result.output()));
        }
    }

    private static void check(GatedNorm.Input input, Direction direction) {
        Operand.checkLike(NAME, "stream's direction", direction.stream(), input.stream());
        Tensor branch = input.branch();
        if (branch != null) {
            Operand.checkLike(NAME, "branch's direction", direction.branch(), branch);
        }
        boolean gated = direction.gate() != null;
        boolean shifted = direction.shift() != null;
        if (shifted != (direction.scale() != null) || gated != (shifted && branch != null)) {
            throw new IllegalArgumentException(
                    NAME + ": give the directions of shift and scale, with a branch also gate's, or none of them");
        }
        Operand.checkLike(NAME, "gate's direction", direction.gate(), input.shift());
        Operand.checkLike(NAME, "shift's direction", direction.shift(), input.shift());
        Operand.checkLike(NAME, "scale's direction", direction.scale(), input.shift());
    }

    private static Output launched(
            Launcher launcher, GatedNorm.Input input, Direction direction, DType type, double eps) {
        Tensor stream = Modulation.dense(input.stream());
        Tensor branch = Modulation.denseOrNull(input.branch());
        Tensor along = Modulation.denseOrNull(direction.stream());
        Modulation rows = Modulation.of(input.gate(), input.shift(), input.scale());
        Tensor shift = direction.shift();
        Tensor scale = direction.scale();
        Modulation rates = shift == null || scale == null ? null : Modulation.of(direction.gate(), shift, scale);
        Device device = stream.device();
        long batch = stream.size(0);
        long tokens = stream.size(1);
        GatedNorm.Output value = new GatedNorm.Output(
                branch == null ? stream : Torch.empty(stream.dtype(), device, stream.shape()),
                Torch.empty(type, device, stream.shape()),
                Torch.empty(DType.FLOAT32, device, batch, tokens, 1),
                Torch.empty(DType.FLOAT32, device, batch, tokens, 1));
        Tensor sum = branch == null
                ? along == null ? Torch.zerosLike(stream) : along
                : Torch.empty(stream.dtype(), device, stream.shape());
        Tensor output = Torch.empty(type, device, stream.shape());
        try (Arguments arguments = new Arguments()) {
            launcher.launch(
                    "norm_tangent",
                    new CudaDriver.Size(Operand.groups(batch * tokens, WARPS), 1, 1),
                    32 * WARPS,
                    arguments
                            .tensor(stream)
                            .tensor(along)
                            .tensor(branch)
                            .tensor(Modulation.denseOrNull(direction.branch()))
                            .tensor(rows.gate())
                            .tensor(rows.shift())
                            .tensor(rows.scale())
                            .int64(rows.stride())
                            .tensor(rates == null ? null : rates.gate())
                            .tensor(rates == null ? null : rates.shift())
                            .tensor(rates == null ? null : rates.scale())
                            .int64(rates == null ? 0 : rates.stride())
                            .tensor(value.sum())
                            .tensor(sum)
                            .tensor(value.output())
                            .tensor(output)
                            .tensor(value.mean())
                            .tensor(value.rstd())
                            .int32(batch * tokens)
                            .int32(tokens)
                            .float32(eps));
        }
        return new Output(value, sum, output);
    }

    private static Output composed(GatedNorm.Input input, Direction direction, DType type, double eps) {
        Tensor base = GatedNorm.sum(input);
        Tensor exact = Operand.wide(base).contiguous();
        Torch.Normalised normal = Torch.layerNorm(exact, eps);
        GatedNorm.Output value = GatedNorm.output(input, base, normal, type);
        Tensor stream = input.stream();
        Tensor along = direction.stream();
        Tensor sum = along == null ? Torch.zerosLike(stream) : along;
        Tensor branch = input.branch();
        Tensor gate = input.gate();
        if (branch != null && gate != null) {
            sum = Operand.wide(sum);
            if (direction.gate() != null) {
                sum = Torch.addcmul(sum, GatedNorm.row(direction.gate()), branch);
            }
            if (direction.branch() != null) {
                sum = Torch.addcmul(sum, GatedNorm.row(gate), direction.branch());
            }
            sum = sum.to(stream.dtype());
        }
        Tensor unitRate = Torch.layerNormBackward(Operand.wide(sum).contiguous(), exact, normal.mean(), normal.rstd());
        Tensor factor = GatedNorm.row(input.scale()).add(1);
        Tensor rate = direction.shift() == null || direction.scale() == null
                ? unitRate.mul_(factor)
                : Torch.addcmul(GatedNorm.row(direction.shift()), unitRate, factor)
                        .addcmul_(normal.output(), GatedNorm.row(direction.scale()), 1);
        return new Output(value, sum, rate.to(type));
    }
}
