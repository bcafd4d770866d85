package org.metaflowmaps.runtime;

import java.lang.ref.Reference;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.bindings.LinearPointwise;
import org.metaflowmaps.bindings.Processor;

/**
 * Linear layers in float32 on the CPU by oneDNN where no gradient is recorded. libtorch itself computes them by BLAS:
 * slower than oneDNN on processors with AVX-512, level with it on others, and with a second pool of threads.
 *
 * <p>Tangents of libtorch's own forward mode, which this library does not use, do not pass through these products. {@link
 * Torch#linear} chooses. The system property {@code org.metaflowmaps.onednn=false} leaves all products to BLAS.
 */
public final class OneDnn {
    private static final boolean ENABLED = Boolean.parseBoolean(System.getProperty("org.metaflowmaps.onednn", "true"))
            // oneDNN was compared with BLAS on these only.
            && Set.of("amd64", "x86_64").contains(System.getProperty("os.arch").toLowerCase(Locale.ROOT))
            && LinearPointwise.isAvailable();

    /** Multiplications from which a product takes longer than the start of oneDNN's. */
    private static final long LEAST = 1 << 20;

    private static final String WITH_GELU = "linearGeluTanh";

    private OneDnn() {}

    /**
     * Computes a linear layer and its GELU in the tanh form as one operation, if that is faster: on processors with
     * AVX-512, and only where no gradient is recorded.
     *
     * @param input (…, in)
     * @param weight (out, in)
     * @param bias (out)
     * @return (…, out), in the innermost open scope; empty if the caller should compute one after the other
     * @throws IllegalStateException if no scope is open or an operand was freed
     * @throws TensorException if libtorch refuses the operands
     */
    public static Optional<Tensor> linearGeluTanh(Tensor input, Tensor weight, Tensor bias) {
        Operands.present(WITH_GELU, "input", input);
        Operands.present(WITH_GELU, "weight", weight);
        Operands.present(WITH_GELU, "bias", bias);
        return Processor.hasAvx512() && computes(input, weight, bias)
                ? Optional.of(compute(input, weight, bias, true))
                : Optional.empty();
    }

    /**
     * Returns whether {@link Torch#linear(Tensor, Tensor)} of these operands is computed here; elsewhere other operators
     * can be better, such as those that add to a sum.
     *
     * @param input (…, in)
     * @param weight (out, in)
     * @throws IllegalStateException if an operand was freed
     */
    public static boolean computes(Tensor input, Tensor weight) {
        return computes(
                Operands.present("computes", "input", input), Operands.present("computes", "weight", weight), null);
    }

    /** Returns whether {@link #compute} should compute a product without activation. */
    static boolean computes(Tensor input, Tensor weight, @Nullable Tensor bias) {
        return multiplies(input, weight, bias) && !isRecorded(input, weight, bias);
    }

    /** Computes a product without a gradient graph, and its activation. */
    static Tensor compute(Tensor input, Tensor weight, @Nullable Tensor bias, boolean gelu) {
        Tensor[] operands = bias == null ? new Tensor[] {input, weight} : new Tensor[] {input, weight, bias};
        TensorScope.innermost(); // refuses if no scope is open to hold the result
        try (ThreadState call = ThreadState.enter(operands)) {
            return Torch.fromHandle(
                    LinearPointwise.of(input.handle(), weight.handle(), bias == null ? 0 : bias.handle(), gelu));
        } catch (RuntimeException e) {
            throw TensorException.of(gelu ? WITH_GELU : "linear", e, operands);
        } finally {
            Reference.reachabilityFence(operands);
        }
    }

    private static boolean isRecorded(Tensor input, Tensor weight, @Nullable Tensor bias) {
        return Autograd.isRecording()
                && (input.requiresGrad() || weight.requiresGrad() || (bias != null && bias.requiresGrad()));
    }

    /** All other operands, such as wrong ones, are left to libtorch's own operator. */
    private static boolean multiplies(Tensor input, Tensor weight, @Nullable Tensor bias) {
        return ENABLED
                && input != null
                && weight != null
                && isFloat(input)
                && isFloat(weight)
                && input.dim() >= 2
                && weight.dim() == 2
                && input.size(-1) == weight.size(1)
                && input.numel() > 0
                && input.numel() >= LEAST / Math.max(1, weight.size(0))
                && input.isPlain()
                && weight.isPlain()
                && isDense(weight)
                && (bias == null || (isFloat(bias) && bias.dim() == 1 && bias.size(0) == weight.size(0)))
                && !Autocast.isOn(Device.Type.CPU);
    }

    /** Without gaps, in rows or in columns. */
    private static boolean isDense(Tensor matrix) {
        long[] strides = matrix.strides();
        return (strides[1] == 1 && strides[0] == matrix.size(1)) || (strides[0] == 1 && strides[1] == matrix.size(0));
    }

    private static boolean isFloat(Tensor tensor) {
        return tensor.dtype() == DType.FLOAT32 && tensor.device().type() == Device.Type.CPU;
    }
}
