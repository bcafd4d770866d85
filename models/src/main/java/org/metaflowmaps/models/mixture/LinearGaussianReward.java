package org.metaflowmaps.models.mixture;

import com.google.common.base.Preconditions;
import java.util.ArrayList;
import java.util.List;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * The reward r(x) = -(y - a·x)² / (2σ²): the log-likelihood of an observation y = a·x + σ·noise without its constant
 * -log(σ√(2π)), which does not affect the tilted law. Its value function on a Gaussian mixture and the tilted mixture
 * are exact (method §6).
 */
public final class LinearGaussianReward {
    private final double[] direction;
    private final double observation;
    private final double deviation;

    /**
     * Makes a reward.
     *
     * @param direction a, at least one number
     * @param observation y
     * @param deviation σ, above 0
     */
    public LinearGaussianReward(double[] direction, double observation, double deviation) {
        Preconditions.checkArgument(
                direction.length > 0, "reward: the direction has no coordinates, expected at least one");
        Preconditions.checkArgument(deviation > 0, "reward: deviation is %s, expected more than 0", deviation);
        this.direction = direction.clone();
        this.observation = observation;
        this.deviation = deviation;
    }

    /**
     * r(x), differentiable.
     *
     * @param state (…, d)
     * @return (…), of the state's type, in the innermost open scope
     */
    public Tensor at(Tensor state) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor seen = state.mul(Torch.of(direction).to(state.device()).to(state.dtype()))
                    .sum(-1);
            return scope.keep(seen.sub(observation).square().mul(-0.5 / (deviation * deviation)));
        }
    }

    /**
     * V_t(x) = log E[e^r(I_1) | I_t = x].
     *
     * @param data the law of I_1
     * @param time t: (B) in [0, 1]
     * @param state x: (B, d)
     * @return (B), of the state's type, in the innermost open scope
     */
    public Tensor value(GaussianMixture data, Tensor time, Tensor state) {
        checkDimension(data);
        try (TensorScope scope = TensorScope.open()) {
            GaussianMixture.Observation seen = data.observe(time, state, Condition.none());
            Tensor gain = predict(data, seen).logLikelihood;
            Tensor value = seen.logEvidence()
                    .add(gain)
                    .logsumexp(1)
                    .sub(seen.logEvidence().logsumexp(1));
            return scope.keep(value.to(state.dtype()));
        }
    }

    /**
     * ∇V_t(x), by formula.
     *
     * @param data the law of I_1
     * @param time t: (B) in [0, 1]
     * @param state x: (B, d)
     * @return (B, d), of the state's type, in the innermost open scope
     */
    public Tensor valueGradient(GaussianMixture data, Tensor time, Tensor state) {
        checkDimension(data);
        try (TensorScope scope = TensorScope.open()) {
            GaussianMixture.Observation seen = data.observe(time, state, Condition.none());
            Prediction ahead = predict(data, seen);
            Tensor tilted = seen.logEvidence().add(ahead.logLikelihood).softmax(1);
            Tensor score = seen.offset().div(seen.variance()).neg();
            Tensor pull = ahead.missing
                    .div(ahead.variance)
                    .unsqueeze(2)
                    .mul(seen.time().mul(data.variances()).div(seen.variance()).mul(ahead.direction));
            Tensor gradient =
                    data.average(tilted.sub(seen.responsibilities()), score).add(data.average(tilted, pull));
            return scope.keep(gradient.to(state.dtype()));
        }
    }

    /**
     * Predictions of y by each component.
     *
     * @param direction a in the eigenbases: (1, K, d)
     * @param missing y - E[a·I_1]: (B, K)
     * @param variance σ² + Var(a·I_1): (B, K)
     * @param logLikelihood log E[e^r]: (B, K)
     */
    private record Prediction(Tensor direction, Tensor missing, Tensor variance, Tensor logLikelihood) {}

    private Prediction predict(GaussianMixture data, GaussianMixture.Observation seen) {
        Tensor own = data.project(direction);
        Tensor missing = own.mul(seen.means()).sum(2).neg().add(observation);
        Tensor spread = own.mul(seen.rest())
                .square()
                .mul(data.variances())
                .div(seen.variance())
                .sum(2);
        Tensor variance = spread.add(deviation * deviation);
        Tensor logLikelihood = missing.square()
                .div(variance)
                .add(variance.div(deviation * deviation).log())
                .mul(-0.5);
        return new Prediction(own, missing, variance, logLikelihood);
    }

    /**
     * Returns the tilted law, proportional to p_1·e^r, which is a mixture again.
     *
     * @return on the same device, owned by the caller
     */
    public GaussianMixture tilted(GaussianMixture data) {
        checkDimension(data);
        List<Double> weights = new ArrayList<>();
        List<double[]> means = new ArrayList<>();
        List<double[][]> covariances = new ArrayList<>();
        double[] logs = new double[data.components()];
        double largest = Double.NEGATIVE_INFINITY;
        for (int k = 0; k < logs.length; k++) {
            double[] mean = data.mean(k);
            double[][] covariance = data.covariance(k);
            double[] covector = new double[mean.length];
            double variance = deviation * deviation;
            double missing = observation;
            for (int i = 0; i < mean.length; i++) {
                for (int j = 0; j < mean.length; j++) {
                    covector[i] += covariance[i][j] * direction[j];
                }
                variance += direction[i] * covector[i];
                missing -= direction[i] * mean[i];
            }
            for (int i = 0; i < mean.length; i++) {
                mean[i] += covector[i] * missing / variance;
                for (int j = 0; j < mean.length; j++) {
                    covariance[i][j] -= covector[i] * covector[j] / variance;
                }
            }
            logs[k] = Math.log(data.weights()[k]) - 0.5 * (missing * missing / variance + Math.log(variance));
            largest = Math.max(largest, logs[k]);
            means.add(mean);
            covariances.add(covariance);
        }
        for (double log : logs) {
            weights.add(Math.max(Double.MIN_NORMAL, Math.exp(log - largest)));
        }
        return new GaussianMixture(weights, means, covariances, data.device());
    }

    private void checkDimension(GaussianMixture data) {
        Preconditions.checkArgument(
                data.dimension() == direction.length,
                "reward: the direction has %s coordinates, the mixture %s",
                direction.length,
                data.dimension());
    }
}
