package org.metaflowmaps.runtime.kernel;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * {@link AttentionTangent} by libtorch's operators, in float32 or float64: with weights P = exp(S - logsumexp) and rates R of the scores,
 * (P∘R)·V - rowsum(P∘R)·O + P·dV. On the CPU a few heads at a time, so that P and R stay in cache.
 *
 * @param query (heads, L, d), scaled
 * @param key (heads, d, K)
 * @param value (heads, K, d)
 * @param output (heads, L, d)
 * @param logsumexp (heads, L, 1)
 * @param ofQuery direction of {@code query}, scaled; null for zero, as those after it
 * @param ofKey direction of {@code key}
 * @param ofValue direction of {@code value}
 */
record ComposedAttentionTangent(
        Tensor query,
        Tensor key,
        Tensor value,
        Tensor output,
        Tensor logsumexp,
        @Nullable Tensor ofQuery,
        @Nullable Tensor ofKey,
        @Nullable Tensor ofValue) {
    /** Scores of the heads that are computed at once on the CPU: in float32, P and R have 4 MB each. */
    private static final long CACHED_SCORES = 1 << 20;

    static Tensor forward(
            AttentionTangent.Input input, @Nullable Tensor query, @Nullable Tensor key, @Nullable Tensor value) {
        Tensor like = input.query();
        double scale = AttentionTangent.scale(like);
        // Weights from products in bfloat16 would not add up to 1.
        try (Autocast exact = Autocast.off(like.device().type())) {
            ComposedAttentionTangent all = new ComposedAttentionTangent(
                    flat(like).mul(scale),
                    flat(input.key()).transpose(1, 2),
                    flat(input.value()),
                    flat(input.output()),
                    heads(input.logsumexp().unsqueeze(-1)),
                    query == null ? null : flat(query).mul(scale),
                    key == null ? null : flat(key).transpose(1, 2),
                    value == null ? null : flat(value));
            return all.tiled(like.device()).view(like.shape()).to(like.dtype());
        }
    }

    private static Tensor flat(Tensor tensor) {
        return heads(Operand.wide(tensor));
    }

    /** (B, H, …) to (B·H, …). */
    private static Tensor heads(Tensor tensor) {
        return tensor.reshape(tensor.size(0) * tensor.size(1), tensor.size(2), tensor.size(3));
    }

    private Tensor tiled(Device device) {
        long heads = query.size(0);
        long scores = query.size(1) * key.size(2);
        long step = CACHED_SCORES / Math.max(1, scores);
        if (device.type() != Device.Type.CPU || step >= heads) {
            return tangent();
        }
        Tensor result = Torch.empty(output.dtype(), device, output.shape());
        long count = Math.max(1, step);
        for (long first = 0; first < heads; first += count) {
            try (TensorScope tile = TensorScope.open()) {
                long size = Math.min(count, heads - first);
                result.narrow(0, first, size).copy_(narrow(first, size).tangent());
            }
        }
        return result;
    }

    private ComposedAttentionTangent narrow(long first, long count) {
        return new ComposedAttentionTangent(
                query.narrow(0, first, count),
                key.narrow(0, first, count),
                value.narrow(0, first, count),
                output.narrow(0, first, count),
                logsumexp.narrow(0, first, count),
                ofQuery == null ? null : ofQuery.narrow(0, first, count),
                ofKey == null ? null : ofKey.narrow(0, first, count),
                ofValue == null ? null : ofValue.narrow(0, first, count));
    }

    private Tensor tangent() {
        Tensor weights = query.matmul(key).sub_(logsumexp).exp_();
        Tensor rates = rates();
        if (rates == null) {
            return ofValue == null ? Torch.zerosLike(output) : weights.matmul(ofValue);
        }
        Tensor weighted = rates.mul_(weights);
        Tensor result = weighted.matmul(value).addcmul_(weighted.sumKeepDim(-1), output, -1);
        return ofValue == null ? result : result.baddbmm_(weights, ofValue);
    }

    private @Nullable Tensor rates() {
        if (ofQuery == null) {
            return ofKey == null ? null : query.matmul(ofKey);
        }
        Tensor rates = ofQuery.matmul(key);
        return ofKey == null ? rates : rates.baddbmm_(query, ofKey);
    }
}
