package org.metaflowmaps.runtime.kernel;

import java.util.Map;
import java.util.Optional;
import org.metaflowmaps.bindings.CudaDriver;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * GELU in its tanh form and its derivative, value and tangent in one pass over memory. Records no gradients. On a GPU, kernels run for
 * float32 and bfloat16 and numbers of elements that are multiples of 4; on the CPU, Java's loops for float32; otherwise libtorch's
 * operators.
 */
public final class GeluTangent {
    private static final String NAME = "GeluTangent";
    private static final int THREADS = 256;

    private final Kernels kernels;
    private final boolean loops;

    GeluTangent(Kernels kernels) {
        this(kernels, false);
    }

    private GeluTangent(Kernels kernels, boolean loops) {
        this.kernels = kernels;
        this.loops = loops;
    }

    /** Returns the operation composed of libtorch's operators, for comparison. */
    public static GeluTangent composed() {
        return new GeluTangent(Kernels.NONE);
    }

    /** Returns the operation for the device that holds a tensor. */
    public static GeluTangent on(Tensor tensor) {
        return new GeluTangent(Kernels.of(tensor), true);
    }

    /** Value and derivative, of the input's shape and type, in the innermost open scope. */
    public record Output(Tensor value, Tensor tangent) {}

    /** Returns gelu(input), of the input's shape and type, in the innermost open scope. */
    public Tensor forward(Tensor input) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            if (!loops || !ArrayGelu.computes(input)) {
                return scope.keep(Torch.geluTanh(input));
            }
            Tensor value = like(input);
            ArrayGelu.compute(own(input), null, value, null);
            return scope.keep(value);
        }
    }

    /** Returns a tensor of the same memory, which another thread's close of the operand does not free. */
    private static Tensor own(Tensor operand) {
        return operand.contiguous();
    }

    private static Tensor like(Tensor input) {
        return Torch.empty(input.dtype(), input.device(), input.shape());
    }

    /**
     * Computes gelu(input) and gelu′(input) · direction.
     *
     * @param direction of the input's shape, type and device
     */
    public Output forward(Tensor input, Tensor direction) {
        Operand.checkLike(NAME, "direction", direction, input);
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            if (loops && ArrayGelu.computes(input)) {
                Tensor value = like(input);
                Tensor slope = like(input);
                ArrayGelu.compute(own(input), own(direction), value, slope);
                return new Output(scope.keep(value), scope.keep(slope));
            }
            Optional<Launcher> launcher = launcher(input);
            if (launcher.isEmpty()) {
                return new Output(
                        scope.keep(Torch.geluTanh(input)), scope.keep(Torch.geluTanhBackward(direction, input)));
            }
            Output result = new Output(like(input), like(input));
            launch(launcher.get(), "gelu_tangent", input, direction, result.value(), result.tangent());
            return new Output(scope.keep(result.value()), scope.keep(result.tangent()));
        }
    }

    /**
     * As {@link #forward(Tensor, Tensor)}, but writes results over the operands where it can; read operands only through
     * the result afterwards.
     *
     * @param input contiguous
     * @param direction of the input's shape, type and device, contiguous
     * @return the operands themselves, or new tensors in the innermost open scope
     */
    public Output forwardOver(Tensor input, Tensor direction) {
        Operand.checkLike(NAME, "direction", direction, input);
        Operand.checkContiguous(NAME, "input", input);
        Operand.checkContiguous(NAME, "direction", direction);
        if (loops && ArrayGelu.computes(input)) {
            try (TensorScope scope = TensorScope.open();
                    Autograd.Mode off = Autograd.noGrad()) {
                Tensor value = own(input);
                Tensor slope = own(direction);
                ArrayGelu.compute(value, slope, value, slope);
            }
            return new Output(input, direction);
        }
        Optional<Launcher> launcher = launcher(input);
        if (launcher.isEmpty() || !Operand.isAligned(input) || !Operand.isAligned(direction)) {
            return forward(input, direction);
        }
        launch(launcher.get(), "gelu_tangent", input, direction, input, direction);
        return new Output(input, direction);
    }

    /**
     * Returns gelu′(input) · gradient, in the innermost open scope.
     *
     * @param gradient of the input's shape, type and device
     */
    public Tensor backward(Tensor input, Tensor gradient) {
        Operand.checkLike(NAME, "gradient", gradient, input);
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            if (loops && ArrayGelu.computes(input)) {
                Tensor slope = like(input);
                ArrayGelu.compute(own(input), own(gradient), null, slope);
                return scope.keep(slope);
            }
            Optional<Launcher> launcher = launcher(input);
            if (launcher.isEmpty()) {
                return scope.keep(Torch.geluTanhBackward(gradient, input));
            }
            Tensor result = like(input);
            launch(launcher.get(), "gelu_backward", input, gradient, result);
            return scope.keep(result);
        }
    }

    private Optional<Launcher> launcher(Tensor input) {
        boolean fits = kernels.holds(input.device())
                && Operand.isElement(input.dtype())
                && input.numel() > 0
                && input.numel() % 4 == 0;
        return fits
                ? kernels.launcher(KernelProgram.of("gelu", Map.of("ELEMENT", Operand.element(input.dtype()))))
                : Optional.empty();
    }

    private static void launch(Launcher launcher, String kernel, Tensor input, Tensor other, Tensor... results) {
        try (Arguments arguments = new Arguments()) {
            arguments.tensor(Modulation.dense(input)).tensor(Modulation.dense(other));
            for (Tensor result : results) {
                arguments.tensor(result);
            }
            launcher.launch(
                    kernel,
                    new CudaDriver.Size(Operand.groups(input.numel(), 4L * THREADS), 1, 1),
                    THREADS,
                    arguments.int64(input.numel()));
        }
    }
}
