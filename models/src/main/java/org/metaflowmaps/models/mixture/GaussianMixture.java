package org.metaflowmaps.models.mixture;

import com.google.common.base.Preconditions;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import org.metaflowmaps.models.drift.ConditionalDrift;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * A mixture of K Gaussians in d dimensions as the data I_1, with exact densities, drifts and posteriors along the path
 * I_t = (1-t)·I_0 + t·I_1; posteriors of I_1 are mixtures again (method §1, 2, 13).
 *
 * <p>States are (B, d), times (B). Labels (B) int64 choose one component for each item; label K, or no labels, means
 * the whole mixture. Results have the type of the states, float32 or float64, and belong to the innermost open scope;
 * internally everything is float64 in the eigenbases of the covariances. No formula divides by t or 1-t, so all times
 * in [0, 1] are valid, including both ends. Gradients flow through all results to states and times. This object owns
 * its tensors: close it.
 */
public final class GaussianMixture implements AutoCloseable {
    /** Smaller than any non-zero product of times in float64, and large enough to divide by. */
    private static final double TINY = 1e-290;

    private static final double SYMMETRY = 1e-9;

    private final double[] weights;
    private final double[][] means;
    private final double[][][] covariances;
    /** log w: (K+1, K), one row per label: its component alone, in the last row all components. */
    private final Tensor logWeights;
    /** Eigenvectors: (d, K·d); a state times this is its coordinates in every component's eigenbasis. */
    private final Tensor axes;
    /** Means in their own eigenbases: (1, K, d). */
    private final Tensor centres;
    /** Eigenvalues λ of the covariances: (1, K, d). */
    private final Tensor variances;

    /**
     * Makes a mixture with any covariances.
     *
     * @param weights one per component, above 0; they are normalised
     * @param means one point per component, all of one dimension
     * @param covariances one symmetric positive definite matrix per component
     * @param device its device
     * @throws IllegalArgumentException if an argument breaks these rules
     */
    public GaussianMixture(List<Double> weights, List<double[]> means, List<double[][]> covariances, Device device) {
        int count = means.size();
        Preconditions.checkArgument(count > 0, "a mixture needs at least one component");
        Preconditions.checkArgument(
                weights.size() == count && covariances.size() == count,
                "mixture: %s means, %s weights and %s covariances, expected as many of each",
                count,
                weights.size(),
                covariances.size());
        int dimension = means.getFirst().length;
        Preconditions.checkArgument(dimension > 0, "mixture: the first mean has no coordinates, expected at least one");
        double total = 0;
        for (double weight : weights) {
            Preconditions.checkArgument(
                    weight > 0 && weight < Double.POSITIVE_INFINITY,
                    "mixture: weight %s, expected more than 0",
                    weight);
            total += weight;
        }
        this.weights = new double[count];
        this.means = new double[count][];
        this.covariances = new double[count][][];
        double[] flat = new double[count * dimension * dimension];
        double[] points = new double[count * dimension];
        double[] logs = new double[(count + 1) * count];
        Arrays.fill(logs, Double.NEGATIVE_INFINITY);
        for (int k = 0; k < count; k++) {
            this.weights[k] = weights.get(k) / total;
            this.means[k] = checkedMean(means.get(k), dimension, k);
            this.covariances[k] = checkedCovariance(covariances.get(k), dimension, k);
            logs[k * count + k] = 0;
            logs[count * count + k] = Math.log(this.weights[k]);
            System.arraycopy(this.means[k], 0, points, k * dimension, dimension);
            for (int i = 0; i < dimension; i++) {
                System.arraycopy(this.covariances[k][i], 0, flat, (k * dimension + i) * dimension, dimension);
            }
        }
        try (TensorScope scope = TensorScope.open()) {
            Torch.Eigen eigen = Torch.linalgEigh(Torch.of(flat, count, dimension, dimension));
            for (double value : eigen.values().toDoubleArray()) {
                Preconditions.checkArgument(
                        value > 0, "mixture: a covariance has the eigenvalue %s, expected all of them above 0", value);
            }
            Tensor own = Torch.of(points, count, 1, dimension).matmul(eigen.vectors());
            Tensor joined = eigen.vectors().permute(1, 0, 2).reshape(dimension, (long) count * dimension);
            logWeights = Torch.of(logs, count + 1, count).to(device).retain();
            axes = joined.to(device).retain();
            centres = own.reshape(1, count, dimension).to(device).retain();
            variances = eigen.values().reshape(1, count, dimension).to(device).retain();
        }
    }

    /**
     * Makes a mixture of components with equal weight and the same variance in every direction.
     *
     * @param means their centres
     * @param variance above 0
     * @param device its device
     */
    public static GaussianMixture isotropic(List<double[]> means, double variance, Device device) {
        Preconditions.checkArgument(variance > 0, "mixture: variance is %s, expected more than 0", variance);
        return new GaussianMixture(
                Collections.nCopies(means.size(), 1.0),
                means,
                means.stream()
                        .map(mean -> scaledIdentity(mean.length, variance))
                        .toList(),
                device);
    }

    private static double[][] scaledIdentity(int dimension, double scale) {
        double[][] matrix = new double[dimension][dimension];
        for (int i = 0; i < dimension; i++) {
            matrix[i][i] = scale;
        }
        return matrix;
    }

    private static double[] checkedMean(double[] mean, int dimension, int component) {
        Preconditions.checkArgument(
                mean.length == dimension,
                "mixture: mean %s has %s coordinates, the first has %s",
                component,
                mean.length,
                dimension);
        for (double value : mean) {
            Preconditions.checkArgument(
                    Double.isFinite(value), "mixture: a mean has the coordinate %s, expected finite numbers", value);
        }
        return mean.clone();
    }

    private static double[][] checkedCovariance(double[][] covariance, int dimension, int component) {
        double[][] copy = new double[dimension][];
        boolean square =
                covariance.length == dimension && Arrays.stream(covariance).allMatch(row -> row.length == dimension);
        Preconditions.checkArgument(
                square, "mixture: covariance %s is not a square matrix of %s rows", component, dimension);
        for (int i = 0; i < dimension; i++) {
            for (int j = 0; j < i; j++) {
                double size = Math.sqrt(Math.abs(covariance[i][i] * covariance[j][j]));
                Preconditions.checkArgument(
                        Math.abs(covariance[i][j] - covariance[j][i]) <= SYMMETRY * size,
                        "mixture: covariance %s is not symmetric at row %s, column %s",
                        component,
                        i,
                        j);
            }
            copy[i] = covariance[i].clone();
        }
        return copy;
    }

    /** The number K of components. */
    public int components() {
        return weights.length;
    }

    /** The number d of coordinates. */
    public int dimension() {
        return means[0].length;
    }

    /** Returns a copy of the components' weights, which sum to 1. */
    public double[] weights() {
        return weights.clone();
    }

    /** Returns a copy of a component's centre. */
    public double[] mean(int component) {
        return means[Objects.checkIndex(component, means.length)].clone();
    }

    /** Returns a copy of a component's covariance matrix. */
    public double[][] covariance(int component) {
        return Arrays.stream(covariances[Objects.checkIndex(component, covariances.length)])
                .map(double[]::clone)
                .toArray(double[][]::new);
    }

    /** The mean of the whole mixture, D_0. */
    public double[] mean() {
        double[] mean = new double[dimension()];
        for (int k = 0; k < components(); k++) {
            for (int i = 0; i < mean.length; i++) {
                mean[i] += weights[k] * means[k][i];
            }
        }
        return mean;
    }

    /** Returns its device. */
    public Device device() {
        return axes.device();
    }

    /**
     * log p_t(x), the density of I_t.
     *
     * @return (B)
     */
    public Tensor logDensity(Tensor time, Tensor state) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor constant = observe(time, state, Condition.none())
                    .logEvidence()
                    .logsumexp(1)
                    .sub(0.5 * dimension() * Math.log(2 * Math.PI));
            return scope.keep(constant.to(state.dtype()));
        }
    }

    /**
     * D_t(x) = E[I_1 | I_t = x].
     *
     * @return (B, d)
     */
    public Tensor denoiser(Tensor time, Tensor state) {
        try (TensorScope scope = TensorScope.open()) {
            Observation seen = observe(time, state, Condition.none());
            return scope.keep(average(seen.responsibilities(), seen.means()).to(state.dtype()));
        }
    }

    /** b_t(x) = E[I_1 - I_0 | I_t = x], of the component chosen by a label. Guidance scales are ignored. */
    public Drift drift() {
        return driftFrom(this::observe);
    }

    /** {@link #drift()} without checks of shapes and labels, which read labels back: for values known to be valid. */
    public Drift uncheckedDrift() {
        return driftFrom(this::observeUnchecked);
    }

    /** Makes an observation, with or without checks. */
    private interface Observing {
        Observation of(Tensor time, Tensor state, Condition condition);
    }

    private Drift driftFrom(Observing observing) {
        return (time, state, condition) -> {
            try (TensorScope scope = TensorScope.open()) {
                Observation seen = observing.of(time, state, condition);
                Tensor rate = seen.time().mul(variances).sub(seen.rest()).div(seen.variance());
                return scope.keep(
                        average(seen.responsibilities(), rate.mul(seen.offset()).add(centres))
                                .to(state.dtype()));
            }
        };
    }

    /**
     * b̄_s(x̄; t, x) = E[I_1 - Ī_0 | Ī_s = x̄, I_t = x] from the two Gaussian observations of I_1, of the component
     * chosen by a label; no unconditional drift is evaluated. At s = t = 1 it has no limit; its value is finite there
     * but has no meaning.
     *
     * <p>With P = t²(1-s)² + s²(1-t)², N = (1-t)²(1-s)² and c = t(1-s)²·x + s(1-t)²·x̄, the two observations have the
     * sufficient statistic c/P, which is N(m, λ + N/P) in a direction of variance λ of a component with mean m; the
     * component's velocity is {(1-t)²(1-s)·(m - x̄) + λ·[t(1-s)·(x - t·x̄) + s(1-t)²·x̄]} / (N + λP).
     */
    public ConditionalDrift conditionalDrift() {
        return this::conditionalDrift;
    }

    private Tensor conditionalDrift(Tensor start, Tensor inner, Context context) {
        check(context.time(), context.state(), context.condition());
        check(start, inner, context.condition());
        try (TensorScope scope = TensorScope.open()) {
            Tensor s = wide(start);
            Tensor t = wide(context.time());
            Tensor restS = s.neg().add(1);
            Tensor restT = t.neg().add(1);
            Tensor x = project(context.state());
            Tensor own = project(inner);
            Tensor squareS = restS.square();
            Tensor squareT = restT.square();
            Tensor precision = t.square().mul(squareS).add(s.square().mul(squareT));
            Tensor total = variances.mul(precision).add(squareT.mul(squareS)).clampMin(TINY);
            Tensor statistic = t.mul(squareS).mul(x).add(s.mul(squareT).mul(own));
            Tensor apart = statistic.sub(precision.mul(centres));
            // (c - Pm)² / P is finite at P = 0, where c is 0 too.
            Tensor distance = apart.square().div(precision.clampMin(TINY)).div(total);
            Tensor evidence =
                    distance.add(total.log()).sum(2).mul(-0.5).add(priors(context.condition(), start.size(0)));
            Tensor drawn = squareT.mul(restS).mul(centres.sub(own));
            Tensor pulled =
                    t.mul(restS).mul(x.sub(t.mul(own))).add(s.mul(squareT).mul(own));
            Tensor velocity = drawn.add(variances.mul(pulled)).div(total);
            return scope.keep(average(evidence.softmax(1), velocity).to(inner.dtype()));
        }
    }

    /**
     * Returns independent draws of I_1.
     *
     * @return (count, d) float32
     */
    public Tensor sample(RandomSource random, int count) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor nothing = Torch.zeros(DType.FLOAT32, device(), 1, dimension());
            return scope.keep(posterior(random, new Context(Torch.zeros(DType.FLOAT32, device(), 1), nothing), count)
                    .squeeze(0));
        }
    }

    /**
     * Returns independent exact draws of I_1 given I_t = x, and given the component if a label chooses one.
     *
     * @param random draws on this mixture's device
     * @param context B times, states and labels
     * @param draws draws of each posterior, at least 1
     * @return (B, draws, d)
     */
    public Tensor posterior(RandomSource random, Context context, int draws) {
        Preconditions.checkArgument(draws >= 1, "mixture: %s posterior draws, expected at least 1", draws);
        long batch = context.state().size(0);
        long count = components();
        long width = dimension();
        try (TensorScope scope = TensorScope.open()) {
            Observation seen = observe(context.time(), context.state(), context.condition());
            Tensor deviations = variances.div(seen.variance()).sqrt().mul(seen.rest());
            Tensor chosen = random.categorical(seen.responsibilities(), draws).reshape(batch, draws, 1);
            Tensor wide = chosen.expand(batch, draws, width);
            Tensor noise = random.normal(batch, draws, width).to(DType.FLOAT64);
            Tensor own =
                    seen.means().gather(1, wide).add(deviations.gather(1, wide).mul(noise));
            // Each draw has coordinates in its component's eigenbasis and zeros in the others, so one product converts
            // all draws.
            Tensor mask = chosen.eq(Torch.arange(count, device())).to(DType.FLOAT64);
            Tensor spread = mask.unsqueeze(3).mul(own.unsqueeze(2)).reshape(batch, draws, count * width);
            return scope.keep(
                    spread.matmul(axes.transpose(0, 1)).to(context.state().dtype()));
        }
    }

    // ---- shared with the reward in this package ----

    /**
     * Posterior quantities of each component given I_t = x, in its eigenbasis.
     *
     * @param time t: (B, 1, 1)
     * @param rest 1-t: (B, 1, 1)
     * @param offset z = x - t·m: (B, K, d)
     * @param variance (1-t)² + t²·λ: (B, K, d)
     * @param logEvidence log of the prior weight times the density of x, without (2π)^(-d/2): (B, K)
     * @param responsibilities posterior weights: (B, K)
     * @param means of I_1: (B, K, d)
     */
    record Observation(
            Tensor time,
            Tensor rest,
            Tensor offset,
            Tensor variance,
            Tensor logEvidence,
            Tensor responsibilities,
            Tensor means) {}

    Observation observe(Tensor time, Tensor state, Condition condition) {
        check(time, state, condition);
        return observeUnchecked(time, state, condition);
    }

    private Observation observeUnchecked(Tensor time, Tensor state, Condition condition) {
        Tensor t = wide(time);
        Tensor rest = t.neg().add(1);
        Tensor offset = project(state).sub(t.mul(centres));
        Tensor variance = rest.square().add(t.square().mul(variances));
        Tensor evidence = offset.square()
                .div(variance)
                .add(variance.log())
                .sum(2)
                .mul(-0.5)
                .add(priors(condition, time.size(0)));
        Tensor inner = t.mul(variances).div(variance).mul(offset).add(centres);
        return new Observation(t, rest, offset, variance, evidence, evidence.softmax(1), inner);
    }

    /** Returns a direction (d) in every eigenbasis: (1, K, d). */
    Tensor project(double[] direction) {
        return project(Torch.of(direction, 1, direction.length).to(device()));
    }

    /** The eigenvalues of the covariances: (1, K, d). */
    Tensor variances() {
        return variances;
    }

    /** Returns Σ_k weight_k · vector_k for vectors in the components' eigenbases: (B, K) and (B, K, d) to (B, d). */
    Tensor average(Tensor shares, Tensor vectors) {
        return shares.unsqueeze(2)
                .mul(vectors)
                .reshape(shares.size(0), (long) components() * dimension())
                .matmul(axes.transpose(0, 1));
    }

    private Tensor project(Tensor state) {
        return state.to(DType.FLOAT64).matmul(axes).reshape(state.size(0), components(), dimension());
    }

    private static Tensor wide(Tensor time) {
        return time.to(DType.FLOAT64).reshape(time.size(0), 1, 1);
    }

    private Tensor priors(Condition condition, long batch) {
        Tensor labels = condition.labels().orElse(null);
        return labels == null
                ? logWeights.narrow(0, components(), 1).expand(batch, components())
                : logWeights.indexSelect(0, labels);
    }

    private void check(Tensor time, Tensor state, Condition condition) {
        Preconditions.checkArgument(
                state.dim() == 2
                        && state.size(1) == dimension()
                        && state.dtype().isFloatingPoint()
                        && state.device().equals(device()),
                "mixture: state is %s, expected floating point (B, %s) on %s",
                state,
                dimension(),
                device());
        Preconditions.checkArgument(
                time.dim() == 1
                        && time.size(0) == state.size(0)
                        && time.dtype().isFloatingPoint()
                        && time.device().equals(device()),
                "mixture: time is %s, expected floating point (%s) on %s",
                time,
                state.size(0),
                device());
        Tensor labels = condition.labels().orElse(null);
        if (labels == null) {
            return;
        }
        Preconditions.checkArgument(
                labels.dim() == 1
                        && labels.size(0) == state.size(0)
                        && labels.dtype() == DType.INT64
                        && labels.device().equals(device()),
                "mixture: labels are %s, expected int64 (%s) on %s",
                labels,
                state.size(0),
                device());
        // Do not read labels back from a GPU, because it would stall.
        if (device().type() == Device.Type.CPU && labels.numel() > 0) {
            Preconditions.checkArgument(
                    labels.min().item() >= 0 && labels.max().item() <= components(),
                    "mixture: labels from %s to %s, expected 0 to %s, and %s for all components",
                    labels.min().item(),
                    labels.max().item(),
                    components() - 1,
                    components());
        }
    }

    @Override
    public void close() {
        logWeights.close();
        axes.close();
        centres.close();
        variances.close();
    }
}
