package org.metaflowmaps.models.layer;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.kernel.GatedNorm;
import org.metaflowmaps.runtime.kernel.GatedNormTangent;

/**
 * Gated residual, normalisation and modulation as one operation, for value and tangent; records no gradients.
 *
 * @param sum tokens + gate · branch, (B, L, D)
 * @param output LN(sum) · (1 + scale) + shift, (B, L, D)
 */
record FusedNorm(Dual sum, Dual output) {
    /**
     * Computes both.
     *
     * @param tokens (B, L, D)
     * @param branch (B, L, D), null for none
     * @param gate (B, D), null without branch
     * @param shift (B, D); gate, shift and scale are parts of one value, so that all or none have a tangent
     * @param scale (B, D)
     * @param type of the output, with a branch the branch's
     */
    static FusedNorm of(Dual tokens, @Nullable Dual branch, @Nullable Dual gate, Dual shift, Dual scale, DType type) {
        GatedNorm.Input input =
                new GatedNorm.Input(tokens.primal(), value(branch), value(gate), shift.primal(), scale.primal());
        Tensor along = tokens.tangent();
        if (along == null && tangent(branch) == null && shift.tangent() == null) {
            GatedNorm.Output value = GatedNorm.on(tokens.primal()).forward(input, type, Block.EPS);
            return new FusedNorm(branch == null ? tokens : Dual.constant(value.sum()), Dual.constant(value.output()));
        }
        GatedNormTangent.Output both = GatedNormTangent.on(tokens.primal())
                .forward(
                        input,
                        new GatedNormTangent.Direction(
                                along, tangent(branch), tangent(gate), shift.tangent(), scale.tangent()),
                        type,
                        Block.EPS);
        return new FusedNorm(
                branch == null ? tokens : Dual.of(both.value().sum(), both.sum()),
                Dual.of(both.value().output(), both.output()));
    }

    private static @Nullable Tensor value(@Nullable Dual dual) {
        return dual == null ? null : dual.primal();
    }

    private static @Nullable Tensor tangent(@Nullable Dual dual) {
        return dual == null ? null : dual.tangent();
    }
}
