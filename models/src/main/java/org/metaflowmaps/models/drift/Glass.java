package org.metaflowmaps.models.drift;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.InputValues;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * The conditional drift computed from an unconditional one (method §3.1): the observations x_t and x̄_s of the same
 * data are equivalent to one observation x* at a time t*, where the drift is evaluated once.
 *
 * <p>The division by 1 - s is cancelled by hand, so every (s, t) in [0, 1]² gives a finite value; at s = t = 1 the
 * drift has no limit and the value has no meaning. Coefficients are always computed in float64.
 *
 * @param drift the unconditional drift; a guided one makes this a heuristic for the guided model's posterior (§3.4)
 * @param floor least value of R² = t²(1-s)² + (1-t)²s², above 0; the public code has 1e-6, which changes results where
 *     s and t are both within 1e-3 of the same end
 */
public record Glass(Drift drift, double floor) implements ConditionalDrift {
    private static final double FLOOR = 1e-18;

    /**
     * Replaces s = 0, so that x* at t = 0 is x̄ for every s, also s = 0. At s = t = 0 an exact drift could use any
     * point, but a network is accurate only at noise, so neither 0 nor an empty context's state would do.
     */
    private static final double LEAST_START = 1e-9;

    /** Checks the range. */
    public Glass {
        Preconditions.checkArgument(floor > 0, "glass: the floor of R² is %s, expected more than 0", floor);
    }

    /** Uses a floor that changes no result in float32. */
    public Glass(Drift drift) {
        this(drift, FLOOR);
    }

    @Override
    public Tensor at(Tensor start, Tensor state, Context context) {
        if (context.isChecked()) {
            InputValues.requireTimes("start time", start);
        }
        try (TensorScope scope = TensorScope.open()) {
            Tensor s = start.to(DType.FLOAT64).clampMin(LEAST_START);
            Tensor t = context.time().to(DType.FLOAT64);
            Tensor restS = s.neg().add(1);
            Tensor restT = t.neg().add(1);
            Tensor root = t.mul(restS)
                    .square()
                    .add(restT.mul(s).square())
                    .clampMin(floor)
                    .sqrt();
            Tensor total = root.add(restS.mul(restT));
            Tensor product = root.mul(total);
            Tensor time = root.div(total);
            Tensor point = weighted(
                    t.mul(restS.square()).div(product),
                    context.state(),
                    s.mul(restT.square()).div(product),
                    state);
            Tensor velocity = drift.at(time.to(start.dtype()), point, context.condition());
            Tensor own = restT.square()
                    .mul(s)
                    .sub(t.square().mul(restS))
                    .sub(root.mul(restT))
                    .div(product);
            Tensor linear = weighted(t.mul(restS).div(product), context.state(), own, state);
            return scope.keep(linear.add(scale(restT.div(total), velocity).mul(velocity)));
        }
    }

    @Override
    public int evaluations(Context context) {
        return drift.evaluations(context.condition());
    }

    /** Returns the sum of two states, each times a coefficient (B) in float64. */
    static Tensor weighted(Tensor first, Tensor left, Tensor second, Tensor right) {
        return scale(first, left).mul(left).add(scale(second, right).mul(right));
    }

    /** Returns a float64 coefficient (B) with the shape and type to multiply a state. */
    static Tensor scale(Tensor coefficient, Tensor like) {
        return MetaFlowMap.perItem(coefficient.to(like.dtype()), like);
    }
}
