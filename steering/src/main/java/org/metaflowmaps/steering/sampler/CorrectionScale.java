package org.metaflowmaps.steering.sampler;

import com.google.common.base.Preconditions;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * How strongly a correction is added to the base drift (method §7). Norms are those of one item over all its entries, so that an item
 * does not depend on its batch.
 *
 * @param guidance g, multiplies the correction after renormalisation; finite. The exact tilted law has g = 1
 * @param mode how the correction's norm is changed
 * @param factor κ, above 0: the norm's size in units of the base drift's norm
 */
public record CorrectionScale(double guidance, Mode mode, double factor) {
    /** The exact drift: the correction as it is estimated. */
    public static final CorrectionScale EXACT = new CorrectionScale(1, Mode.NONE, 1);

    /** The paper's for images: the correction always has the base drift's norm (paper, eq. 136). The tilted law is then not exact. */
    public static final CorrectionScale PAPER = new CorrectionScale(1, Mode.RESCALE, 1);

    private static final double TINY = 1e-8;

    /** What is done with a correction's norm. */
    public enum Mode {
        /** Nothing. */
        NONE,
        /** It becomes κ times the base drift's norm, whatever it was; λ then acts through the draws' weights alone. */
        RESCALE,
        /** It becomes κ times the base drift's norm where it is larger. */
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
     * Returns base + g·correction, the correction renormalised.
     *
     * @param base (rows, item shape); for the SDE the whole drift 2b - x/t, as in the public code
     * @param correction (rows, item shape); for the SDE 2c·∇V
     * @return (rows, item shape), in the innermost open scope
     */
    public Tensor drift(Tensor base, Tensor correction) {
        Preconditions.checkArgument(
                base.dim() > 0 && base.shape().equals(correction.shape()),
                "correction: base is %s and correction %s, expected one shape (rows, item shape)",
                base,
                correction);
        try (TensorScope scope = TensorScope.open()) {
            Tensor scaled =
                    switch (mode) {
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

    /** The norm of each row, shaped so that it broadcasts: (rows, 1, ...). */
    static Tensor norm(Tensor values) {
        long[] items = new long[values.dim() - 1];
        for (int i = 0; i < items.length; i++) {
            items[i] = i + 1L;
        }
        return values.square().sumKeepDim(items).sqrt();
    }
}
