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
 * The directional derivative of attention softmax(q·kᵀ/√d)·v from the value pass's output and log-sum-exp, without storing scores.
 * Records no gradients.
 *
 * <p>Kernels run for bfloat16 with heads whose width is a multiple of 8 up to 128, on tensor cores, and for float32 with heads up to
 * 128; libtorch's operators otherwise, on the CPU in tiles.
 */
public final class AttentionTangent {
    private static final String NAME = "AttentionTangent";
    private static final int WARPS = 4;
    /** Queries of a block of the kernel on tensor cores. */
    private static final int QUERIES = 16 * WARPS;

    private final Kernels kernels;

    AttentionTangent(Kernels kernels) {
        this.kernels = kernels;
    }

    /** Returns the operation composed of libtorch's operators, for comparison. */
    public static AttentionTangent composed() {
        return new AttentionTangent(Kernels.NONE);
    }

    /** Returns the operation for the device that holds a tensor. */
    public static AttentionTangent on(Tensor tensor) {
        return new AttentionTangent(Kernels.of(tensor));
    }

    /**
     * Operands and results of attention's value pass.
     *
     * @param query (B, H, L, d)
     * @param key (B, H, K, d)
     * @param value (B, H, K, d)
     * @param output (B, H, L, d)
     * @param logsumexp of the scaled scores, natural logarithm, (B, H, L), float32 or float64
     */
    public record Input(Tensor query, Tensor key, Tensor value, Tensor output, Tensor logsumexp) {
        /** Checks shapes, types and devices. */
        public Input {
            if (query.dim() != 4 || key.dim() != 4) {
                throw new IllegalArgumentException(
                        NAME + ": query is " + query + " and key " + key + ", expected (batch, heads, tokens, width)");
            }
            Shape keys = Shape.of(query.size(0), query.size(1), key.size(2), query.size(3));
            Operand.check(NAME, "key", key, query.device(), keys);
            Operand.checkLike(NAME, "value", value, key);
            Operand.checkLike(NAME, "output", output, query);
            Operand.check(
                    NAME,
                    "logsumexp",
                    logsumexp,
                    query.device(),
                    Shape.of(query.size(0), query.size(1), query.size(2)));
        }
    }

    /**
     * Computes the output's derivative.
     *
     * @param query direction of the query, of its shape and type; null for zero
     * @param key direction of the key likewise
     * @param value direction of the value likewise
     * @return (B, H, L, d), a view of a tensor (B, L, H, d), in the innermost open scope
     */
    public Tensor forward(Input input, @Nullable Tensor query, @Nullable Tensor key, @Nullable Tensor value) {
        Operand.checkLike(NAME, "query's direction", query, input.query());
        Operand.checkLike(NAME, "key's direction", key, input.key());
        Operand.checkLike(NAME, "value's direction", value, input.value());
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Optional<Launcher> launcher = launcher(input);
            return scope.keep(
                    launcher.isPresent()
                            ? launched(launcher.get(), input, query, key, value)
                            : ComposedAttentionTangent.forward(input, query, key, value));
        }
    }

    /**
     * Returns true on the CPU and where a kernel computes the derivative. Elsewhere operators in the operands' type, without a log-sum-exp,
     * are faster than the composition, which computes in float32.
     */
    public boolean isFast(Input input) {
        return input.query().device().type() == Device.Type.CPU
                || launcher(input).isPresent();
    }

    private Optional<Launcher> launcher(Input input) {
        Tensor query = input.query();
        long width = query.size(3);
        DType type = query.dtype();
        if (!kernels.holds(query.device())
                || !Operand.isElement(type)
                || input.logsumexp().dtype() != DType.FLOAT32
                || width > 128
                || query.numel() == 0
                || input.key().numel() == 0
                || (type == DType.BFLOAT16 && width % 8 != 0)) {
            return Optional.empty();
        }
        String head = Long.toString(width);
        return kernels.launcher(
                type == DType.BFLOAT16
                        ? KernelProgram.of("attention_tangent", Map.of("HEAD", head))
                        : KernelProgram.of("attention_tangent_plain", Map.of("HEAD", head, "ELEMENT", "float")));
    }

    private static Tensor launched(
            Launcher launcher, Input input, @Nullable Tensor query, @Nullable Tensor key, @Nullable Tensor value) {
        Tensor like = input.query();
        boolean matrices = like.dtype() == DType.BFLOAT16;
        long batch = like.size(0);
        long heads = like.size(1);
        long queries = like.size(2);
        // In the order of tokens, so that the heads can be joined without a copy.
        Tensor result = Torch.empty(like.dtype(), like.device(), batch, queries, heads, like.size(3))
                .transpose(1, 2);
        try (Arguments arguments = new Arguments()) {
            for (Tensor operand : new @Nullable Tensor[] {
                input.query(), input.key(), input.value(), query, key, value, input.output(), result
            }) {
                arguments.struct(view(operand));
            }
            launcher.launch(
                    "attention_tangent",
                    new CudaDriver.Size(
                            Operand.groups(queries, matrices ? QUERIES : WARPS),
                            Math.toIntExact(heads),
                            Math.toIntExact(batch)),
                    32 * WARPS,
                    arguments
                            .tensor(input.logsumexp().contiguous())
                            .int32(queries)
                            .int32(input.key().size(2))
                            .float32(scale(like)));
        }
        return result;
    }

    /** Address and strides; copies a tensor whose rows have gaps or do not start at multiples of 16 bytes. */
    private static long[] view(@Nullable Tensor tensor) {
        if (tensor == null) {
            return new long[4];
        }
        Tensor readable = tensor;
        long[] strides = Operand.strides(tensor);
        boolean gaps = strides[3] != 1;
        boolean shifted = tensor.dtype() == DType.BFLOAT16
                && (Operand.address(tensor) % 16 != 0
                        || strides[0] % 8 != 0
                        || strides[1] % 8 != 0
                        || strides[2] % 8 != 0);
        if (gaps || shifted) {
            readable = tensor.contiguous();
            readable = Operand.address(readable) % 16 == 0 ? readable : readable.clone();
            strides = Operand.strides(readable);
        }
        return new long[] {Operand.address(readable), strides[0], strides[1], strides[2]};
    }

    static double scale(Tensor query) {
        return 1 / Math.sqrt((double) query.size(3));
    }
}
