package org.metaflowmaps.models.mixture;

import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * The exact meta flow map of a one-dimensional mixture: X(s, u, x̄) has the same level under the law of Ī_u as x̄ has
 * under that of Ī_s, both given I_t = x; for t below 1.
 *
 * <p>Results have the type of the states; internally it uses float64, and X is exact to about 1e-13. Tangents follow
 * from ∂_u X = b̄_u(X), ∂_x̄ X = p_s(x̄) / p_u(X) and ∂_s X = -b̄_s(x̄)·∂_x̄ X. Gradients do not flow into states and
 * times. Its only parameter, an offset of 0, is added to v, so that a loss's gradient for it is the mean of the loss's
 * residuals.
 */
public final class QuantileFlow implements MetaFlowMap {
    private static final int HALVINGS = 64;
    /** Standard deviations beyond which a density is 0 in float64. */
    private static final double FAR = 38;
    /** Below this u - s, differences of X are less accurate than the first two terms of its series. */
    private static final double NEAR = 3e-5;

    private final GaussianMixture mixture;
    private final ParameterArena arena = new ParameterArena(Map.of("offset", Shape.of(1)), Device.CPU);

    /** Makes the map of a one-dimensional mixture on the CPU, not owned. */
    public QuantileFlow(GaussianMixture mixture) {
        if (mixture.dimension() != 1) {
            throw new IllegalArgumentException("a quantile flow has one dimension, not " + mixture.dimension());
        }
        this.mixture = mixture;
    }

    /** A posterior: log weights, means and variances of its components, (B, K). */
    private record Law(Tensor logWeights, Tensor means, Tensor variances) {
        private Tensor deviations(Tensor time) {
            return time.neg().add(1).square().add(time.square().mul(variances)).sqrt();
        }

        private Tensor offsets(Tensor time, Tensor state) {
            return state.sub(time.mul(means));
        }

        private Tensor logEvidence(Tensor time, Tensor state) {
            Tensor deviations = deviations(time);
            return logWeights
                    .sub(deviations.log())
                    .sub(offsets(time, state).div(deviations).square().mul(0.5));
        }

        Tensor logDensity(Tensor time, Tensor state) {
            return logEvidence(time, state).logsumexpKeepDim(1);
        }

        /** Returns b̄ at (B, 1), the mean of the components' velocities. */
        Tensor velocity(Tensor time, Tensor state) {
            Tensor rate = time.mul(variances)
                    .sub(time.neg().add(1))
                    .div(deviations(time).square());
            return logEvidence(time, state)
                    .softmax(1)
                    .mul(means.add(rate.mul(offsets(time, state))))
                    .sumKeepDim(1);
        }

        /** Returns the probability beyond a state: above it if side is 1, below it if side is -1. */
        Tensor tail(Tensor side, Tensor time, Tensor state) {
            Tensor level = side.mul(offsets(time, state)).div(deviations(time)).mul(Math.sqrt(0.5));
            return logWeights.exp().mul(level.erfc().mul(0.5)).sumKeepDim(1);
        }

        /** Computes X(s, u, x̄) by bisection. */
        Tensor carried(Tensor start, Tensor end, Tensor state) {
            try (TensorScope scope = TensorScope.open()) {
                Tensor one = Torch.onesLike(state);
                // Use the smaller tail, because it keeps all its digits.
                Tensor side = Torch.where(tail(one, start, state).lt(0.5), one, one.neg());
                Tensor level = tail(side, start, state);
                Tensor reach = deviations(end).mul(FAR);
                Tensor low = reach.sub(end.mul(means)).amaxKeepDim(1).neg();
                Tensor high = end.mul(means).add(reach).amaxKeepDim(1);
                for (int i = 0; i < HALVINGS; i++) {
                    Tensor middle = low.add(high).mul(0.5);
                    Tensor below = tail(side, end, middle).sub(level).mul(side).gt(0);
                    low = Torch.where(below, middle, low);
                    high = Torch.where(below, high, middle);
                }
                return scope.keep(low.add(high).mul(0.5));
            }
        }
    }

    /** The posteriors by Bayes' rule in plain Java. */
    private Law posterior(Context context) {
        double[] times = context.time().toDoubleArray();
        double[] states = context.state().toDoubleArray();
        Tensor given = context.condition().labels().orElse(null);
        long @Nullable [] labels = given == null ? null : given.toLongArray();
        int count = mixture.components();
        double[] logs = new double[times.length * count];
        double[] means = new double[logs.length];
        double[] variances = new double[logs.length];
        for (int i = 0; i < times.length; i++) {
            double rest = 1 - times[i];
            for (int k = 0; k < count; k++) {
                double variance = mixture.covariance(k)[0][0];
                double seen = rest * rest + times[i] * times[i] * variance;
                double apart = states[i] - times[i] * mixture.mean(k)[0];
                boolean possible = labels == null || labels[i] == count || labels[i] == k;
                logs[i * count + k] = possible
                        ? Math.log(mixture.weights()[k]) - 0.5 * (apart * apart / seen + Math.log(seen))
                        : Double.NEGATIVE_INFINITY;
                means[i * count + k] = mixture.mean(k)[0] + times[i] * variance / seen * apart;
                variances[i * count + k] = variance * rest * rest / seen;
            }
        }
        return new Law(
                Torch.of(logs, times.length, count).logSoftmax(1),
                Torch.of(means, times.length, count),
                Torch.of(variances, times.length, count));
    }

    @Override
    public Dual averageVelocity(Dual start, Dual end, Dual state, Context context) {
        DType type = state.primal().dtype();
        try (TensorScope scope = TensorScope.open()) {
            Tensor velocity;
            @Nullable Tensor rate;
            try (Autograd.Mode off = Autograd.noGrad()) {
                Jump jump = new Jump(
                        posterior(context),
                        column(start.primal()),
                        column(end.primal()),
                        state.primal().to(DType.FLOAT64));
                velocity = jump.velocity().to(type);
                boolean varies = start.tangent() != null || end.tangent() != null || state.tangent() != null;
                rate = varies
                        ? jump.along(
                                        column(start.tangentOrZero()),
                                        column(end.tangentOrZero()),
                                        state.tangentOrZero().to(DType.FLOAT64))
                                .to(type)
                        : null;
            }
            Tensor value = scope.keep(velocity.add(arena.get("offset").to(type)));
            return rate == null ? Dual.constant(value) : Dual.of(value, scope.keep(rate));
        }
    }

    private static Tensor column(Tensor time) {
        return time.detach().to(DType.FLOAT64).unsqueeze(1);
    }

    /** A jump of a batch, (B, 1) each, with its derivatives. */
    private static final class Jump {
        private final Law law;
        private final Tensor start;
        private final Tensor end;
        private final Tensor state;
        private final Tensor length;
        private final Tensor near;
        private final Tensor first;
        private final Tensor perTime;
        private final Tensor perState;
        /** Half the acceleration, dv/du at u = s. */
        private final Tensor bend;

        private final Tensor there;
        private final Tensor velocity;

        Jump(Law law, Tensor start, Tensor end, Tensor given) {
            this.law = law;
            this.start = start;
            this.end = end;
            this.state = given.detach();
            try (Autograd.Mode on = Autograd.enableGrad()) {
                Tensor s = start.clone().requiresGrad_(true);
                Tensor x = state.clone().requiresGrad_(true);
                Tensor b = law.velocity(s, x);
                List<Tensor> slopes = Autograd.gradients(b.sum(), List.of(s, x));
                first = b.detach();
                perTime = slopes.get(0);
                perState = slopes.get(1);
            }
            bend = perTime.add(first.mul(perState)).mul(0.5);
            Tensor exact = end.sub(start);
            near = exact.abs().lt(NEAR);
            length = Torch.where(near, Torch.onesLike(exact), exact);
            there = law.carried(start, end, state);
            velocity = Torch.where(
                    near, first.add(exact.mul(bend)), there.sub(state).div(length));
        }

        Tensor velocity() {
            return velocity;
        }

        Tensor along(Tensor ds, Tensor du, Tensor dx) {
            Tensor stretch =
                    law.logDensity(start, state).sub(law.logDensity(end, there)).exp();
            Tensor moved = law.velocity(end, there).mul(du).add(stretch.mul(dx.sub(first.mul(ds))));
            Tensor far = moved.sub(dx).sub(velocity.mul(du.sub(ds))).div(length);
            Tensor close = perTime.sub(bend).mul(ds).add(bend.mul(du)).add(perState.mul(dx));
            return Torch.where(near, close, far);
        }
    }

    @Override
    public Shape itemShape() {
        return Shape.of(1);
    }

    @Override
    public int classes() {
        return mixture.components();
    }

    @Override
    public ParameterArena parameters() {
        return arena;
    }

    @Override
    public void close() {
        arena.close();
    }
}
