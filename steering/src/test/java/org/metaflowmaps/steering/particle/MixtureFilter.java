package org.metaflowmaps.steering.particle;

import com.google.common.primitives.Doubles;
import java.util.List;
import java.util.stream.LongStream;
import org.metaflowmaps.models.mixture.GaussianMixture;
import org.metaflowmaps.models.mixture.LinearGaussianReward;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.ExactMixtureMap;
import org.metaflowmaps.steering.reward.LinearGaussianLikelihood;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.KeyedNoise;
import org.metaflowmaps.steering.value.ValueFunction;

/** The mixture of the paper's experiment in two dimensions (F.1) with its exact map and reward, at a strength at which few particles suffice. */
final class MixtureFilter implements AutoCloseable {
    static final double[] MEANS = {-3, 0, 3};
    static final double STRENGTH = 0.04;
    static final int PARTICLES = 64;
    static final int DRAWS = 8;
    static final int STEPS = 10;
    /** E[e^{λ·r}] of the reward without its constant. */
    static final double NORMALISER = 0.485017;
    /** Shares of the components under the tilted law. */
    static final double[] SHARES = {0.4765, 0.3766, 0.1469};

    final ExactMixtureMap map = new ExactMixtureMap();
    final GaussianMixture data = GaussianMixture.isotropic(
            List.of(new double[] {-3, -3}, new double[] {0, 0}, new double[] {3, 3}), 0.5, Device.CPU);
    final Tilt tilt = new Tilt(
            new LinearGaussianLikelihood(new LinearGaussianReward(new double[] {1.2, -0.8}, -1, 0.2)), STRENGTH);

    /**
     * What many runs say.
     *
     * @param mean of Ẑ
     * @param error standard error of it
     * @param shares of the components, each run by its Ẑ
     * @param drawn shares of the resampled draws, each run by its Ẑ
     * @param shareError standard error of the first share
     */
    record Summary(double mean, double error, List<Double> shares, List<Double> drawn, double shareError) {}

    static KeyedNoise noise(long seed, long first, int count, int particles) {
        long[] items = LongStream.range(first, first + count).toArray();
        return new KeyedNoise(seed, items, particles, Shape.of(2), DType.FLOAT64, Device.CPU);
    }

    ParticleFilter filter(double threshold, Tempering tempering) {
        return new ParticleFilter(
                Potential.of(new ValueFunction(map, tilt, DRAWS)),
                new Transition.PosteriorDraw(map),
                TimeGrid.uniform(STEPS),
                PARTICLES,
                threshold,
                tempering);
    }

    /** Runs a filter many times, some items at once. */
    static Summary runs(ParticleFilter filter, long seed, int runs, int batch) {
        double sum = 0;
        double squares = 0;
        double[] shares = new double[3];
        double[] drawn = new double[3];
        double[][] each = new double[runs][];
        for (int first = 0; first < runs; first += batch) {
            int count = Math.min(batch, runs - first);
            try (TensorScope scope = TensorScope.open()) {
                ParticleResult result = filter.run(noise(seed, first, count, filter.particles()), Condition.none());
                double[] z = result.logNormaliser().exp().toDoubleArray();
                double[] own = components(result.particles())
                        .reshape(count, filter.particles(), 3)
                        .mul(result.logWeights().exp().unsqueeze(2))
                        .sum(1)
                        .toDoubleArray();
                double[] sampled = components(result.samples()).toDoubleArray();
                for (int i = 0; i < count; i++) {
                    sum += z[i];
                    squares += z[i] * z[i];
                    for (int k = 0; k < 3; k++) {
                        shares[k] += z[i] * own[3 * i + k];
                        drawn[k] += z[i] * sampled[3 * i + k];
                    }
                    each[first + i] = new double[] {z[i], own[3 * i]};
                }
            }
        }
        for (int k = 0; k < 3; k++) {
            shares[k] /= sum;
            drawn[k] /= sum;
        }
        double mean = sum / runs;
        double spread = 0;
        for (double[] run : each) {
            spread += Math.pow(run[0] * (run[1] - shares[0]), 2);
        }
        return new Summary(
                mean,
                Math.sqrt((squares / runs - mean * mean) / (runs - 1)),
                Doubles.asList(shares),
                Doubles.asList(drawn),
                Math.sqrt(spread) / sum);
    }

    /** The probability of each component given a sample: (rows, 3). Its mean over the tilted law is that of the shares. */
    static Tensor components(Tensor samples) {
        Tensor means = Torch.of(MEANS, 1, 3, 1);
        return samples.unsqueeze(1).sub(means).square().sum(2).neg().softmax(1);
    }

    @Override
    public void close() {
        map.close();
        data.close();
    }
}
