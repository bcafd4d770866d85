package org.metaflowmaps.steering.sampler;

import com.google.common.base.Preconditions;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * The scale of a correction added to the base drift (method §7). Norms are taken over all entries of one item, so that
 * items do not depend on their batch.
 *
 * @param guidance g, multiplies the correction after renormalisation; finite. The exact tilted law has g = 1
 * @param mode the change of the correction's norm
 * @param factor κ, above 0: the norm's size in units of the base drift's norm
 */
public record CorrectionScale(double guidance, Mode mode, double factor) {
    /** The exact drift: the estimated correction unchanged. */
    public static final CorrectionScale EXACT = new CorrectionScale(1, Mode.NONE, 1);

    /**
     * The paper's choice for images: the correction always has the base drift's norm (paper, eq. 136). The tilted law
     * is then not exact.
     */
    public static final CorrectionScale PAPER = new CorrectionScale(1, Mode.RESCALE, 1);

    private static final double TINY = 1e-8;

    /** The change of a correction's norm. */
    public enum Mode {
        /** No change. */
        NONE,
        /**
         * It becomes κ times the base drift's norm; λ then acts only through the draws' weights. In an SDE this norm is
         * about |x|/t near noise, so early steps longer than their time t blow states up, and rounding with them: from
         * t = 0.01 take 20 steps or more.
         */
        RESCALE,
        /** It is limited to κ times the base drift's norm. */
        CLIP
    }

    /** Checks the ranges. */
    public CorrectionScale {
        Preconditions.checkNotNull(mode, "correction: the mode is null");
        Preconditions.checkArgument(
                Double.isFinite(guidance), "correction: guidance scale is %s, expected a finite number", guidance);
        Preconditions.checkArgument(
                factor > 0 && Double.isFinite(factor),
                "correction: factor (kappa) is %s, expected a finite number above 0",
                factor);
    }

    /**
     * Returns base + g·correction, with renormalised correction.
     *
     * @param base (rows, item shape); for the SDE the whole drift 2b - x/t, as in the public code
     * @param correction (rows, item shape); for the SDE 2c·∇V
     * @return (rows, item shape), in the innermost open scope
     */
    public Tensor drift(Tensor base, Tensor correction) {
        Preconditions.checkArgument(
                base.dim() > 0 && base.shape().equals(correction.shape()),
                "correction: base is %s and correction %s, expected equal shapes (rows, item shape)",
                base,
                correction);
        try (TensorScope scope = TensorScope.open()) {
            Tensor scaled = switch (mode) {
                case NONE -> correction;
                case RESCALE -> correction.mul(ratio(base, correction));
                case CLIP -> correction.mul(ratio(base, correction).clampMax(1));
            };
            return scope.keep(base.add(guidance == 1 ? scaled : scaled.mul(guidance)));
        }
    }

    private Tensor ratio(Tensor base, Tensor correction) {
        return norm(base).mul(factor).div(norm(correction).add(TINY));
    }

    /** Returns the norm of each row, shaped to broadcast: (rows, 1, ...). */
    static Tensor norm(Tensor values) {
        long[] items = new long[values.dim() - 1];
        for (int i = 0; i < items.length; i++) {
            items[i] = i + 1L;
        }
        return values.square().sumKeepDim(items).sqrt();
    }
}
