package org.metaflowmaps.models.drift;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.InputValues;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * The inner flow that ends at a draw of x_{t'} given x_t, from an unconditional drift (method §3.3); {@link Glass} is
 * the case t' = 1. Its states are x̄_s = ᾱ_s·I_1 + γ·x_t + σ̄_s·ε with ᾱ_s = s·(t' - γ·t), σ̄_s = 1-s +
 * s·(1-t')·√(1-ρ²) and γ = ρ·(1-t')/(1-t), so that x̄_1 has the law of I_{t'} for every ρ.
 *
 * <p>x̄ - γ·x_t and x_t are independent observations of I_1, equivalent to one observation x* at t*, where the drift is
 * evaluated once. The division by σ̄_s is cancelled by hand, so every s in [0, 1] gives a finite value. Coefficients
 * are computed in float64.
 *
 * @param drift the unconditional drift
 * @param from t, from 0 to below 1
 * @param to t', above t, at most 1
 * @param correlation ρ of the noise in x_t with that in x_{t'}, from -1 to 1; 1 and -1 add no fresh noise at the end
 */
public record GlassTransition(Drift drift, double from, double to, double correlation) {
    /** Replaces s = 0 as in {@link Glass}, so that x* at t = 0 has the law of noise. */
    private static final double LEAST_START = 1e-9;

    /** Checks the ranges. */
    public GlassTransition {
        checkTimes(from, to);
        Preconditions.checkArgument(
                correlation >= -1 && correlation <= 1,
                "glass transition: correlation is %s, expected -1 to 1",
                correlation);
    }

    /** Uses the correlation of {@link #ddpm}. */
    public GlassTransition(Drift drift, double from, double to) {
        this(drift, from, to, ddpm(from, to));
    }

    /**
     * Returns the correlation t·(1-t') / (t'·(1-t)), for which successive transitions are DDPM's reverse Markov chain.
     *
     * @param from t, from 0 to below 1
     * @param to t', above t, at most 1
     */
    public static double ddpm(double from, double to) {
        checkTimes(from, to);
        return from * (1 - to) / (to * (1 - from));
    }

    private static void checkTimes(double from, double to) {
        Preconditions.checkArgument(
                from >= 0 && from < to && to <= 1,
                "glass transition: from time %s to %s, expected 0 <= from < to <= 1",
                from,
                to);
    }

    /** Returns γ, the weight of x_t. */
    private double kept() {
        return correlation * (1 - to) / (1 - from);
    }

    /**
     * Returns the start of the inner flow, γ·x_t + ε.
     *
     * @param state x_t: (B, item shape)
     * @param noise ε: (B, item shape)
     * @return (B, item shape), in the innermost open scope
     */
    public Tensor start(Tensor state, Tensor noise) {
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(state.mul(kept()).add(noise));
        }
    }

    /**
     * Returns the velocity dx̄_s/ds.
     *
     * @param start s: (B) float32 in [0, 1]
     * @param inner x̄_s: (B, item shape) float32
     * @param state x_t: (B, item shape) float32
     * @param condition labels and guidance scales of the items
     * @return (B, item shape), in the innermost open scope
     */
    public Tensor at(Tensor start, Tensor inner, Tensor state, Condition condition) {
        InputValues.requireTimes("start time", start);
        double rest = 1 - from;
        double gain = to - kept() * from;
        double shrink = 1 - (1 - to) * Math.sqrt(1 - correlation * correlation);
        try (TensorScope scope = TensorScope.open()) {
            Tensor s = start.to(DType.FLOAT64).clampMin(LEAST_START);
            Tensor known = s.mul(gain);
            Tensor noise = s.mul(-shrink).add(1);
            Tensor own = inner.sub(state.mul(kept()));
            Tensor root = noise.mul(from).square().add(known.mul(rest).square()).sqrt();
            Tensor total = root.add(noise.mul(rest));
            Tensor product = root.mul(total);
            Tensor point = Glass.weighted(
                    noise.square().mul(from).div(product),
                    state,
                    known.mul(rest * rest).div(product),
                    own);
            Tensor velocity = drift.at(root.div(total).to(start.dtype()), point, condition);
            Tensor pull = known.mul(gain * rest * rest)
                    .sub(noise.mul(from * from).add(root.mul(rest)).mul(shrink))
                    .div(product);
            Tensor linear = Glass.weighted(noise.mul(gain * from).div(product), state, pull, own);
            return scope.keep(linear.add(
                    Glass.scale(total.reciprocal().mul(gain * rest), velocity).mul(velocity)));
        }
    }
}
