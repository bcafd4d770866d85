package org.metaflowmaps.runtime.kernel;

import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.bindings.CudaDriver;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Gated residual, layer normalisation and modulation of a transformer block (adaLN-Zero), forward and backward in one pass over memory
 * each: sum = stream + gate · branch, output = LN(sum) · (1 + scale) + shift. Statistics are float32 for all types of tensors, float64
 * for float64. Records no gradients.
 *
 * <p>Kernels run for float32 and bfloat16 and widths that are multiples of 128 up to 2048, libtorch's operators otherwise.
 */
public final class GatedNorm {
    private static final String NAME = "GatedNorm";
    private static final int WARPS = 4;
    /** Tokens whose modulation gradients one block sums. */
    private static final int CHUNK = 16;

    private final Kernels kernels;

    GatedNorm(Kernels kernels) {
        this.kernels = kernels;
    }

    /** Returns the operation composed of libtorch's operators, for comparison. */
    public static GatedNorm composed() {
        return new GatedNorm(Kernels.NONE);
    }

    /** Returns the operation for the device that holds a tensor. */
    public static GatedNorm on(Tensor tensor) {
        return new GatedNorm(Kernels.of(tensor));
    }

    /** Returns true if this device has kernels; not every width and type has one. */
    public boolean hasKernels() {
        return !kernels.equals(Kernels.NONE);
    }

    /**
     * The operands.
     *
     * @param stream (B, L, D), the residual stream
     * @param branch (B, L, D), what the block before computed; null to normalise the stream itself
     * @param gate (B, D), null without branch
     * @param shift (B, D)
     * @param scale (B, D), of the type of shift
     */
    public record Input(
            Tensor stream,
            @Nullable Tensor branch,
            @Nullable Tensor gate,
            Tensor shift,
            Tensor scale) {
        /** Checks shapes, types and devices. */
        public Input {
            if (stream.dim() != 3) {
                throw new IllegalArgumentException(
                        NAME + ": stream is " + stream + ", expected (batch, tokens, width)");
            }
            Shape row = Shape.of(stream.size(0), stream.size(2));
            if ((branch == null) != (gate == null)) {
                throw new IllegalArgumentException(NAME + ": give branch and gate, or neither");
            }
            Operand.check(NAME, "branch", branch, stream.device(), stream.shape());
            Operand.check(NAME, "shift", shift, stream.device(), row);
            Operand.checkLike(NAME, "gate", gate, shift);
            Operand.checkLike(NAME, "scale", scale, shift);
        }

        /**
         * Returns the operands without branch, to normalise a stream that is the sum already. Pass this input, with its
         * branch, to {@link #backward}.
         */
        public Input ofSum() {
            return new Input(stream, null, null, shift, scale);
        }
    }

    /**
     * The results, in the innermost open scope.
     *
     * @param sum (B, L, D) of the stream's type; the stream itself without branch
     * @param output (B, L, D)
     * @param mean of each row of the sum, (B, L, 1), float32 or float64
     * @param rstd 1 / √(variance + eps) likewise
     */
    public record Output(Tensor sum, Tensor output, Tensor mean, Tensor rstd) {}

    /**
     * Gradients of the operands, of their shapes and types, in the innermost open scope.
     *
     * @param branch null without branch
     * @param gate null without branch
     */
    public record Gradients(
            Tensor stream,
            @Nullable Tensor branch,
            @Nullable Tensor gate,
            Tensor shift,
            Tensor scale) {}

    /**
     * Computes sum and output.
     *
     * @param type of the output: with a branch, the branch's
     * @param eps added to the variance
     */
    public Output forward(Input input, DType type, double eps) {
        Tensor branch = input.branch();
        if (branch != null && branch.dtype() != type) {
            throw new IllegalArgumentException(
                    NAME + ": the output's type is " + type + ", expected the branch's, " + branch.dtype());
        }
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Optional<Launcher> launcher = launcher("norm", input, type);
            Output result =
                    launcher.isPresent() ? launched(launcher.get(), input, type, eps) : composed(input, type, eps);
            return new Output(
                    branch == null ? input.stream() : scope.keep(result.sum()),
                    scope.keep(result.output()),
                    scope.keep(result.mean()),
                    scope.keep(result.rstd()));
        }
    }

    /**
     * Computes gradients of the operands.
     *
     * @param input of {@link #forward}; of its stream only shape and type matter
     * @param output its result
     * @param outputGradient of the output, of its type
     * @param sumGradient what reaches the sum from elsewhere, of its type; null for nothing
     */
    public Gradients backward(Input input, Output output, Tensor outputGradient, @Nullable Tensor sumGradient) {
        Operand.checkLike(NAME, "outputGradient", outputGradient, output.output());
        Operand.checkLike(NAME, "sumGradient", sumGradient, output.sum());
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Optional<Launcher> launcher = launcher("norm", input, outputGradient.dtype());
            Gradients result = launcher.isPresent()
                    ? launched(launcher.get(), input, output, outputGradient, sumGradient)
                    : composed(input, output, outputGradient, sumGradient);
            return new Gradients(
                    scope.keep(result.stream()),
                    kept(scope, result.branch()),
                    kept(scope, result.gate()),
                    scope.keep(result.shift()),
                    scope.keep(result.scale()));
        }
    }

    private static @Nullable Tensor kept(TensorScope scope, @Nullable Tensor tensor) {
        return tensor == null ? null : scope.keep(tensor);
    }

    private Optional<Launcher> launcher(String program, Input input, DType type) {
        return launcher(kernels, program, input, type);
    }

    /** Returns the launcher of a program for these operands, if kernels can compute them. */
    static Optional<Launcher> launcher(Kernels kernels, String program, Input input, DType type) {
        long width = input.stream().size(2);
        boolean fits = kernels.holds(input.stream().device())
                && width % 128 == 0
                && width <= 2048
                && input.stream().numel() > 0
                && Operand.isElement(type)
                && Operand.isElement(input.stream().dtype())
                && Operand.isElement(input.shift().dtype());
        return fits
                ? kernels.launcher(KernelProgram.of(
                        program,
                        Map.of(
                                "WIDTH", Long.toString(width),
                                "STREAM", Operand.element(input.stream().dtype()),
                                "BRANCH", Operand.element(type),
                                "MODULATION", Operand.element(input.shift().dtype()),
                                "GATED", input.branch() == null ? "0" : "1")))
                : Optional.empty();
    }

    private static Output launched(Launcher launcher, Input input, DType type, double eps) {
        Tensor stream = Modulation.dense(input.stream());
        Tensor branch = Modulation.denseOrNull(input.branch());
        Modulation rows = Modulation.of(input.gate(), input.shift(), input.scale());
        Device device = stream.device();
        long batch = stream.size(0);
        long tokens = stream.size(1);
        Output result = new Output(
                branch == null ? stream : Torch.empty(stream.dtype(), device, stream.shape()),
                Torch.empty(type, device, stream.shape()),
                Torch.empty(DType.FLOAT32, device, batch, tokens, 1),
                Torch.empty(DType.FLOAT32, device, batch, tokens, 1));
        try (Arguments arguments = new Arguments()) {
            launcher.launch(
                    "norm_forward",
                    new CudaDriver.Size(Operand.groups(batch * tokens, WARPS), 1, 1),
                    32 * WARPS,
                    arguments
                            .tensor(stream)
                            .tensor(branch)
                            .tensor(rows.gate())
                            .tensor(rows.shift())
                            .tensor(rows.scale())
                            .int64(rows.stride())
                            .tensor(result.sum())
                            .tensor(result.output())
                            .tensor(result.mean())
                            .tensor(result.rstd())
                            .int32(batch * tokens)
                            .int32(tokens)
                            .float32(eps));
        }
        return result;
    }

    private static Gradients launched(
            Launcher launcher, Input input, Output output, Tensor outputGradient, @Nullable Tensor sumGradient) {
        Tensor sum = Modulation.dense(output.sum());
        Tensor branch = Modulation.denseOrNull(input.branch());
        Modulation rows = Modulation.of(input.gate(), input.shift(), input.scale());
        Device device = sum.device();
        long batch = sum.size(0);
        long tokens = sum.size(1);
        long width = sum.size(2);
        int chunks = Operand.groups(tokens, CHUNK);
        Tensor streamGradient = Torch.empty(sum.dtype(), device, sum.shape());
        Tensor branchGradient = branch == null ? null : Torch.empty(branch.dtype(), device, branch.shape());
        Tensor partial = Torch.empty(DType.FLOAT32, device, batch, chunks, 3, width);
        Tensor modulation = Torch.empty(input.shift().dtype(), device, batch, 3 * width);
        try (Arguments arguments = new Arguments()) {
            launcher.launch(
                    "norm_backward",
                    new CudaDriver.Size(chunks, Math.toIntExact(batch), 1),
                    Math.toIntExact(width / 4),
                    arguments
                            .tensor(Modulation.dense(outputGradient))
                            .tensor(Modulation.denseOrNull(sumGradient))
                            .tensor(sum)
                            .tensor(branch)
                            .tensor(rows.gate())
                            .tensor(rows.scale())
                            .int64(rows.stride())
                            .tensor(output.mean())
                            .tensor(output.rstd())
                            .tensor(streamGradient)
                            .tensor(branchGradient)
                            .tensor(partial)
                            .int32(tokens)
                            .int32(CHUNK));
        }
        try (Arguments arguments = new Arguments()) {
            launcher.launch(
                    "norm_backward_sums",
                    new CudaDriver.Size(Math.toIntExact(width / 128), Math.toIntExact(batch), 3),
                    128,
                    arguments
                            .tensor(partial)
                            .tensor(modulation)
                            .int64(3 * width)
                            .int64(branch == null ? -1 : 0)
                            .int64(width)
                            .int64(2 * width)
                            .int32(chunks));
        }
        return new Gradients(
                streamGradient,
                branchGradient,
                branch == null ? null : modulation.narrow(1, 0, width),
                modulation.narrow(1, width, width),
                modulation.narrow(1, 2 * width, width));
    }

    private static Output composed(Input input, DType type, double eps) {
        Tensor sum = sum(input);
        return output(input, sum, Torch.layerNorm(Operand.wide(sum).contiguous(), eps), type);
    }

    /** stream + gate · branch. */
    static Tensor sum(Input input) {
        Tensor stream = input.stream();
        Tensor branch = input.branch();
        Tensor gate = input.gate();
        return branch == null || gate == null
                ? stream
                : Torch.addcmul(stream, row(gate), branch).to(stream.dtype());
    }

    /** Modulates a normalised sum. */
    static Output output(Input input, Tensor sum, Torch.Normalised normal, DType type) {
        Tensor output = Torch.addcmul(
                        row(input.shift()), normal.output(), row(input.scale()).add(1))
                .to(type);
        return new Output(sum, output, normal.mean(), normal.rstd());
    }

    private static Gradients composed(Input input, Output output, Tensor outputGradient, @Nullable Tensor sumGradient) {
        Tensor sum = Operand.wide(output.sum()).contiguous();
        Tensor gradient = Operand.wide(outputGradient);
        Tensor unit = sum.sub(output.mean()).mul(output.rstd());
        DType modulation = input.shift().dtype();
        Tensor shift = gradient.sum(1).to(modulation);
        Tensor scale = gradient.mul(unit).sum(1).to(modulation);
        Tensor total = Torch.layerNormBackward(
                gradient.mul(row(input.scale()).add(1)).contiguous(), sum, output.mean(), output.rstd());
        if (sumGradient != null) {
            total.add_(Operand.wide(sumGradient));
        }
        Tensor stream = total.to(input.stream().dtype());
        Tensor branch = input.branch();
        Tensor gate = input.gate();
        if (branch == null || gate == null) {
            return new Gradients(stream, null, null, shift, scale);
        }
        return new Gradients(
                stream,
                total.mul(row(gate)).to(branch.dtype()),
                total.mul(branch).sum(1).to(modulation),
                shift,
                scale);
    }

    /** Returns one row per sample in the type of the arithmetic, to broadcast over tokens. */
    static Tensor row(Tensor modulation) {
        return Operand.wide(modulation).unsqueeze(1);
    }
}
