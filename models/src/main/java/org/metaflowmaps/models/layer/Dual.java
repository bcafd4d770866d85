package org.metaflowmaps.models.layer;

import java.util.Arrays;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.OneDnn;
import org.metaflowmaps.runtime.ProfilerRange;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.kernel.AttentionTangent;
import org.metaflowmaps.runtime.kernel.GeluTangent;

/**
 * A value with an optional directional derivative: forward-mode differentiation by hand.
 *
 * <p>Layers are written once over this type. Without a tangent an operation costs the same as its tensor operation.
 * Tangents are computed from the activations of the value's pass, by default without recording a gradient graph; a
 * {@linkplain #through differentiable} tangent records one, for losses with gradients through a derivative.
 *
 * <p>A tangent has its value's element type, also if {@link org.metaflowmaps.runtime.Autocast} changes the type of a
 * product. Normalisations and the softmax compute in float32 or float64.
 *
 * <p>Several Jacobians here are symmetric (softmax, layer norm) or diagonal (activations), so that libtorch's fused
 * backward operators compute their products with tangents too.
 */
public final class Dual {
    private final Tensor primal;
    private final @Nullable Tensor tangent;
    private final boolean through;

    private Dual(Tensor primal, @Nullable Tensor tangent, boolean through) {
        this.primal = primal;
        this.tangent = tangent;
        this.through = through;
    }

    /** Returns a value that does not change along the direction. */
    public static Dual constant(Tensor primal) {
        return new Dual(primal, null, false);
    }

    /** Returns a value with its derivative, of the same shape; tangents computed from it have no gradient graph. */
    public static Dual of(Tensor primal, Tensor tangent) {
        checkShapes(primal, tangent);
        return new Dual(primal, tangent, false);
    }

    /** Like {@link #of}, but gradients flow back through the tangents computed from it. */
    public static Dual through(Tensor primal, Tensor tangent) {
        checkShapes(primal, tangent);
        return new Dual(primal, tangent, true);
    }

    private static void checkShapes(Tensor primal, Tensor tangent) {
        if (!primal.shape().equals(tangent.shape())) {
            throw new IllegalArgumentException("a tangent of shape " + tangent.shape() + " for a value of shape "
                    + primal.shape() + ": they must be equal");
        }
    }

    /** The value. */
    public Tensor primal() {
        return primal;
    }

    /** Returns the derivative, or null if the value is constant along the direction. */
    public @Nullable Tensor tangent() {
        return tangent;
    }

    /** Returns the derivative, or zeros if the value is constant along the direction. */
    public Tensor tangentOrZero() {
        return tangent == null ? Torch.zerosLike(primal) : tangent;
    }

    /** Returns true if gradients flow back through tangents computed from this value, see {@link #through}. */
    public boolean isThrough() {
        return through;
    }

    /** Frees value and tangent; a gradient graph keeps the parts it needs. */
    public void close() {
        primal.close();
        closeTangent();
    }

    /** Frees the tangent, if there is one. */
    void closeTangent() {
        if (tangent != null) {
            tangent.close();
        }
    }

    /** Moves value and tangent to the scope around {@code scope}. */
    public Dual keptFrom(TensorScope scope) {
        scope.keep(primal);
        if (tangent != null) {
            scope.keep(tangent);
        }
        return this;
    }

    // ---- how rules are applied ----

    /** Returns a result of operands; calls {@code rule} for its tangent unless all operands are constant. */
    private static Dual result(Tensor primal, Supplier<@Nullable Tensor> rule, Dual... operands) {
        boolean varies = false;
        boolean through = false;
        for (Dual operand : operands) {
            varies |= operand.tangent != null;
            through |= operand.through;
        }
        if (!varies) {
            return constant(primal);
        }
        try (ProfilerRange range = ProfilerRange.layer("tangent rule", 0)) {
            if (through) {
                return new Dual(primal, shaped(rule.get(), primal), true);
            }
            try (Autograd.Mode off = Autograd.noGrad()) {
                return new Dual(primal, shaped(rule.get(), primal), false);
            }
        }
    }

    /** Expands a broadcast operand's smaller tangent to the result's shape, and converts it to the result's type. */
    private static @Nullable Tensor shaped(@Nullable Tensor tangent, Tensor primal) {
        if (tangent == null) {
            return null;
        }
        Tensor whole = tangent.numel() == primal.numel() ? tangent : tangent.expand(primal.shape());
        return whole.dtype() == primal.dtype() ? whole : whole.to(primal.dtype());
    }

    /** Converts a tensor of two bytes per element to float32; returns others unchanged. */
    private static Tensor wide(Tensor tensor) {
        return tensor.dtype().bytes() == 2 ? tensor.to(DType.FLOAT32) : tensor;
    }

    private static Tensor narrowed(Tensor tensor, Tensor like) {
        return like.dtype().bytes() == 2 ? tensor.to(like.dtype()) : tensor;
    }

    /** Applies a linear map to value and tangent. */
    private Dual linearly(UnaryOperator<Tensor> map) {
        Tensor direction = tangent;
        return direction == null
                ? constant(map.apply(primal))
                : result(map.apply(primal), () -> map.apply(direction), this);
    }

    private static @Nullable Tensor sum(@Nullable Tensor left, @Nullable Tensor right) {
        if (left == null) {
            return right;
        }
        return right == null ? left : left.add(right);
    }

    /** {@link #sum} of two unshared tensors; writes into the first one's memory if no graph needs it. */
    private static @Nullable Tensor merged(@Nullable Tensor left, @Nullable Tensor right) {
        return left == null || right == null || Autograd.isRecording() ? sum(left, right) : left.add_(right);
    }

    private static @Nullable Tensor product(@Nullable Tensor left, Tensor right) {
        return left == null ? null : left.mul(right);
    }

    // ---- arithmetic ----

    /** this + other, broadcast. */
    public Dual add(Dual other) {
        return result(primal.add(other.primal), () -> sum(tangent, other.tangent), this, other);
    }

    /** this - other, broadcast. */
    public Dual sub(Dual other) {
        return result(
                primal.sub(other.primal),
                () -> sum(tangent, other.tangent == null ? null : other.tangent.neg()),
                this,
                other);
    }

    /** this · other, broadcast. */
    public Dual mul(Dual other) {
        return result(
                primal.mul(other.primal),
                () -> merged(product(tangent, other.primal), product(other.tangent, primal)),
                this,
                other);
    }

    /** this · factor. */
    public Dual mul(double factor) {
        return linearly(value -> value.mul(factor));
    }

    /** this + offset. */
    public Dual add(double offset) {
        return new Dual(primal.add(offset), tangent, through);
    }

    /** this + left · right, broadcast, in one pass over memory. */
    public Dual addcmul(Dual left, Dual right) {
        Tensor value = Torch.addcmul(primal, left.primal, right.primal);
        return result(
                value,
                () -> {
                    Tensor rate = left.tangent == null ? tangent : addProduct(tangent, left.tangent, right.primal);
                    if (right.tangent == null) {
                        return rate;
                    }
                    // Add in place to a sum made here, if it has the full shape already.
                    return rate != null
                                    && left.tangent != null
                                    && rate.numel() == value.numel()
                                    && !Autograd.isRecording()
                            ? rate.addcmul_(left.primal, right.tangent, 1)
                            : addProduct(rate, left.primal, right.tangent);
                },
                this,
                left,
                right);
    }

    private static Tensor addProduct(@Nullable Tensor base, Tensor left, Tensor right) {
        return base == null ? left.mul(right) : Torch.addcmul(base, left, right);
    }

    /** The sine. */
    public Dual sin() {
        return result(primal.sin(), () -> product(tangent, primal.cos()), this);
    }

    /** The cosine. */
    public Dual cos() {
        return result(primal.cos(), () -> product(tangent, primal.sin().neg()), this);
    }

    /** Returns this value in another element type, or itself if it has that type. */
    public Dual to(DType type) {
        Tensor direction = tangent;
        return primal.dtype() == type
                ? this
                : direction == null
                        ? constant(primal.to(type))
                        : result(primal.to(type), () -> direction.to(type), this);
    }

    // ---- layers ----

    /**
     * this·Wᵀ + b for a weight (out, in) and a bias (out) that do not change along the direction; bfloat16 under
     * autocast.
     */
    public Dual linear(Tensor weight, Tensor bias) {
        return multiplied(Torch.linear(primal, weight, bias), weight);
    }

    /** GELU with the tanh approximation of {@link #linear(Tensor, Tensor)}. */
    Dual linearGeluTanh(Tensor weight, Tensor bias) {
        return (tangent == null ? OneDnn.linearGeluTanh(primal, weight, bias) : Optional.<Tensor>empty())
                .map(Dual::constant)
                .orElseGet(() -> linear(weight, bias).geluTanh());
    }

    /** this·Wᵀ for a weight (out, in) that does not change along the direction; bfloat16 under autocast. */
    public Dual linear(Tensor weight) {
        return multiplied(Torch.linear(primal, weight), weight);
    }

    private Dual multiplied(Tensor output, Tensor weight) {
        Tensor direction = tangent;
        return direction == null ? constant(output) : result(output, () -> Torch.linear(direction, weight), this);
    }

    /** x·σ(x). */
    public Dual silu() {
        Tensor direction = tangent;
        Tensor output = Torch.silu(primal);
        return direction == null ? constant(output) : result(output, () -> siluTangent(direction), this);
    }

    private Tensor siluTangent(Tensor direction) {
        if (!Autograd.isRecording()) {
            return Torch.siluBackward(direction, primal);
        }
        // libtorch's operator is not differentiable: use σ·(1 + x·(1 - σ)).
        Tensor sigmoid = primal.sigmoid();
        return direction.mul(sigmoid.mul(primal.sub(primal.mul(sigmoid)).add(1)));
    }

    /** GELU with the tanh approximation. */
    public Dual geluTanh() {
        Tensor direction = tangent;
        if (Autograd.isRecording()) {
            Tensor output = Torch.geluTanh(primal);
            return direction == null
                    ? constant(output)
                    : result(
                            output,
                            () -> Autograd.isRecording()
                                    ? Torch.geluTanhBackward(direction, primal)
                                    : GeluTangent.on(primal).backward(primal, direction),
                            this);
        }
        if (direction == null) {
            return constant(GeluTangent.on(primal).forward(primal));
        }
        try (ProfilerRange range = ProfilerRange.layer("tangent rule", 0)) {
            GeluTangent.Output both = GeluTangent.on(primal).forward(primal, direction);
            return new Dual(both.value(), both.tangent(), through);
        }
    }

    /** Layer normalisation over the last dimension, without gain or offset; in float32 or float64. */
    public Dual layerNorm(double eps) {
        Tensor direction = tangent;
        Tensor value = wide(primal);
        Torch.Normalised normal = Torch.layerNorm(value, eps);
        return direction == null
                ? constant(normal.output())
                : result(
                        normal.output(),
                        () -> Torch.layerNormBackward(
                                wide(direction).contiguous(), value, normal.mean(), normal.rstd()),
                        this);
    }

    /**
     * this / √(mean(this²) + eps) · gain over the last dimension, computed in float32 or float64, returned in this
     * value's type.
     */
    public Dual rmsNorm(Tensor gain, double eps) {
        Tensor value = wide(primal);
        Tensor inverse = value.square().meanKeepDim(-1).add(eps).rsqrt();
        Tensor unit = value.mul(inverse);
        return result(
                narrowed(unit.mul(gain), primal),
                () -> {
                    Tensor direction = wide(tangentOrZero());
                    Tensor radial = unit.mul(direction).meanKeepDim(-1);
                    return direction.sub(unit.mul(radial)).mul(inverse).mul(gain);
                },
                this);
    }

    /**
     * softmax(q·kᵀ/√d)·v over (batch, heads, tokens, d); bfloat16 operands are multiplied in float32 on the CPU.
     *
     * <p>The value is libtorch's fused attention, which has no forward mode. A tangent is computed from its log-sum-exp
     * ({@link AttentionTangent}), or else from the weights, which are computed again; both without a graph. Only for a
     * differentiable tangent the value too is computed from single operators, to share its graph.
     */
    public static Dual attention(Dual query, Dual key, Dual value) {
        if (query.through || key.through || value.through) {
            return query.mul(attentionScale(query))
                    .matmul(key.transpose(-2, -1))
                    .softmax()
                    .to(value.primal.dtype())
                    .matmul(value);
        }
        if (query.isNarrowOnCpu() && key.isNarrowOnCpu() && value.isNarrowOnCpu()) {
            try (TensorScope scope = TensorScope.open();
                    Autocast exact = Autocast.off(Device.Type.CPU)) {
                return attention(query.to(DType.FLOAT32), key.to(DType.FLOAT32), value.to(DType.FLOAT32))
                        .to(DType.BFLOAT16)
                        .keptFrom(scope);
            }
        }
        if (query.tangent == null && key.tangent == null && value.tangent == null) {
            return constant(Torch.scaledDotProductAttention(query.primal, key.primal, value.primal));
        }
        Dual queries = query.autocast();
        Dual keys = key.autocast();
        Dual values = value.autocast();
        Torch.Attention attention = Torch.fusedAttention(queries.primal, keys.primal, values.primal);
        return result(
                attention.output(), () -> attentionTangent(queries, keys, values, attention), queries, keys, values);
    }

    /** Converts as autocast converts operands of products, which it does not do for the operators of fused attention. */
    private Dual autocast() {
        boolean converts =
                primal.dtype() == DType.FLOAT32 && Autocast.isOn(primal.device().type());
        return converts ? to(DType.BFLOAT16) : this;
    }

    /**
     * Returns whether fused attention would compute in bfloat16 on the CPU, where libtorch has only plain loops for it
     * unless it was built with MKL: slower than float32 by far.
     */
    private boolean isNarrowOnCpu() {
        return primal.device().type() == Device.Type.CPU
                && (primal.dtype() == DType.BFLOAT16
                        || (primal.dtype() == DType.FLOAT32 && Autocast.isOn(Device.Type.CPU)));
    }

    private static double attentionScale(Dual query) {
        return 1 / Math.sqrt((double) query.primal.size(-1));
    }

    private static Tensor attentionTangent(Dual query, Dual key, Dual value, Torch.Attention attention) {
        Tensor logsumexp = attention.logsumexp();
        if (logsumexp != null) {
            AttentionTangent tangent = AttentionTangent.on(query.primal);
            AttentionTangent.Input input =
                    new AttentionTangent.Input(query.primal, key.primal, value.primal, attention.output(), logsumexp);
            if (tangent.isFast(input)) {
                return tangent.forward(input, query.tangent, key.tangent, value.tangent);
            }
        }
        return attentionTangent(query, key, value);
    }

    /** Computes each sum of two products as one product of concatenations, because many small products are slow. */
    private static Tensor attentionTangent(Dual query, Dual key, Dual value) {
        long width = query.primal.size(-1);
        try (TensorScope scope = TensorScope.open()) {
            Tensor rows = Torch.cat(-1, query.tangentOrZero(), query.primal).mul_(attentionScale(query));
            Tensor columns = Torch.cat(-1, key.primal, key.tangentOrZero());
            Tensor scores = rows.narrow(-1, width, width)
                    .matmul(columns.narrow(-1, 0, width).transpose(-2, -1));
            Tensor weights = wide(scores).softmax(-1);
            Tensor rates = Torch.softmaxBackward(wide(rows.matmul(columns.transpose(-2, -1))), weights, -1);
            Tensor both = narrowed(Torch.cat(-1, rates, weights), value.primal);
            return scope.keep(both.matmul(Torch.cat(-2, value.primal, value.tangentOrZero())));
        }
    }

    /** Softmax over the last dimension; in float32 or float64. */
    public Dual softmax() {
        Tensor direction = tangent;
        Tensor output = wide(primal).softmax(-1);
        return direction == null
                ? constant(output)
                : result(output, () -> Torch.softmaxBackward(wide(direction), output, -1), this);
    }

    /** The matrix product; leading dimensions broadcast; bfloat16 under autocast. */
    public Dual matmul(Dual other) {
        return result(
                primal.matmul(other.primal),
                () -> merged(
                        tangent == null ? null : tangent.matmul(other.primal),
                        other.tangent == null ? null : primal.matmul(other.tangent)),
                this,
                other);
    }

    // ---- shape ----

    /** Reshapes. */
    public Dual reshape(long... shape) {
        return linearly(value -> value.reshape(shape));
    }

    /** Permutes the dimensions. */
    public Dual permute(long... dims) {
        return linearly(value -> value.permute(dims));
    }

    /** Swaps two dimensions. */
    public Dual transpose(long first, long second) {
        return linearly(value -> value.transpose(first, second));
    }

    /** Inserts a dimension of size 1. */
    public Dual unsqueeze(long dim) {
        return linearly(value -> value.unsqueeze(dim));
    }

    /** Returns the entries start … start + length - 1 along a dimension. */
    public Dual narrow(long dim, long start, long length) {
        return linearly(value -> value.narrow(dim, start, length));
    }

    /** Repeats each entry along a dimension {@code times} times in a row. */
    public Dual repeatInterleave(long times, long dim) {
        return linearly(value -> value.repeatInterleave(times, dim));
    }

    /** Returns the entries at those indices (int64, one dimension) along a dimension. */
    public Dual indexSelect(long dim, Tensor index) {
        return linearly(value -> value.indexSelect(dim, index));
    }

    /** Returns one entry along a dimension and removes that dimension. */
    public Dual select(long dim, long index) {
        return linearly(value -> value.select(dim, index));
    }

    /** Splits a dimension into equal parts. */
    public Dual[] chunk(int chunks, long dim) {
        long size = primal.size((int) dim);
        if (chunks < 1 || size % chunks != 0) {
            throw new IllegalArgumentException("dimension " + dim + " of shape " + primal.shape()
                    + " in " + chunks
                    + " equal parts: its size is not a multiple of that");
        }
        // Use libtorch's chunk: its gradient is one concatenation, while narrow's gradient is padded with zeros.
        Tensor[] values = primal.chunk(chunks, dim);
        Tensor direction = tangent;
        if (direction == null) {
            return Arrays.stream(values).map(Dual::constant).toArray(Dual[]::new);
        }
        Tensor[] rates = split(direction, chunks, dim);
        Dual[] parts = new Dual[chunks];
        for (int i = 0; i < chunks; i++) {
            parts[i] = new Dual(values[i], rates[i], through);
        }
        return parts;
    }

    private Tensor[] split(Tensor direction, int chunks, long dim) {
        if (through) {
            return direction.chunk(chunks, dim);
        }
        try (Autograd.Mode off = Autograd.noGrad()) {
            return direction.chunk(chunks, dim);
        }
    }

    /** Concatenates values along a dimension; all other sizes must be equal. */
    public static Dual cat(long dim, Dual... parts) {
        Tensor[] values = Arrays.stream(parts).map(Dual::primal).toArray(Tensor[]::new);
        return result(
                Torch.cat(dim, values),
                () -> Torch.cat(
                        dim, Arrays.stream(parts).map(Dual::tangentOrZero).toArray(Tensor[]::new)),
                parts);
    }
}
