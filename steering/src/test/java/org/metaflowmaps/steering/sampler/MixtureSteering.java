package org.metaflowmaps.steering.sampler;

import java.util.List;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.mixture.GaussianMixture;
import org.metaflowmaps.models.mixture.LinearGaussianReward;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.ExactMixtureMap;
import org.metaflowmaps.steering.metric.SlicedWasserstein;
import org.metaflowmaps.steering.reward.Reward;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.steering.value.GradientFree;
import org.metaflowmaps.steering.value.MonteCarloGradient;
import org.metaflowmaps.steering.value.Point;
import org.metaflowmaps.steering.value.PosteriorMeanGradient;
import org.metaflowmaps.steering.value.SteeringNoise;
import org.metaflowmaps.steering.value.ValueFunction;
import org.metaflowmaps.steering.value.ValueGradient;

/**
 * The mixture of the paper's experiment in two dimensions (F.1), its reward, the exact map or a trained one, and the
 * distance of steered samples from the exact tilted law.
 */
final class MixtureSteering implements AutoCloseable {
    /** The estimators of the table. */
    enum Method {
        MFM_G,
        MFM_GF,
        GF_EXACT_D,
        DPS,
        /** The exact gradient of the value, the limit of many draws. */
        EXACT
    }

    private static final int DIRECTIONS = 128;

    private final GaussianMixture data = GaussianMixture.isotropic(
            List.of(new double[] {-3, -3}, new double[] {0, 0}, new double[] {3, 3}), 0.5, Device.CPU);
    private final LinearGaussianReward reward = new LinearGaussianReward(new double[] {1.2, -0.8}, -1, 0.2);
    private final GaussianMixture tilted = reward.tilted(data);
    private final MetaFlowMap map;
    private final Drift drift;
    private final DType type;
    private final SlicedWasserstein distance = new SlicedWasserstein(2, DIRECTIONS, 0, Device.CPU);

    /** Steers with the exact map and the exact drift. */
    MixtureSteering() {
        this.map = new ExactMixtureMap();
        this.drift = data.uncheckedDrift();
        this.type = DType.FLOAT64;
    }

    /** Steers with a trained map without classes and its own drift; takes over the map. */
    MixtureSteering(MetaFlowMap trained) {
        this.map = trained;
        this.drift = new NetworkDrift(trained, false);
        this.type = DType.FLOAT32;
    }

    /** Noise of a generator; every run of a test makes its calls in the same order. */
    record Stream(RandomSource random, int rows, DType type) implements SteeringNoise {
        @Override
        public Tensor normal(Use use, int step, int first, int draws) {
            try (TensorScope scope = TensorScope.open()) {
                return scope.keep(random.normal(rows, draws, 2).to(type));
            }
        }

        @Override
        public Tensor uniform(Use use, int step) {
            throw new UnsupportedOperationException("a steered sampler does not resample");
        }
    }

    /** The table's reward. */
    static Reward reward(LinearGaussianReward reward) {
        return new Reward() {
            @Override
            public String name() {
                return "linear-Gaussian";
            }

            @Override
            public boolean takesStates() {
                return true;
            }

            @Override
            public Tensor score(Tensor samples, Condition condition) {
                return reward.at(samples);
            }
        };
    }

    /** ∇V by formula. */
    private record ExactGradient(GaussianMixture data, LinearGaussianReward reward, Coefficient coefficient)
            implements ValueGradient {
        @Override
        public Estimate at(Point point) {
            Tensor time = Torch.full(
                    point.time(), DType.FLOAT64, Device.CPU, point.state().size(0));
            return new Estimate(
                    data.uncheckedDrift().at(time, point.state(), point.condition()),
                    reward.valueGradient(data, time, point.state()).mul(coefficient.at(point.time())),
                    java.util.Optional.empty());
        }

        @Override
        public long evaluations(Condition condition) {
            return 1;
        }
    }

    /** Returns the law before the tilt. */
    GaussianMixture data() {
        return data;
    }

    ValueGradient estimator(Method method, int draws, Coefficient coefficient) {
        Tilt tilt = new Tilt(reward(reward), 1);
        return switch (method) {
            case MFM_G -> new MonteCarloGradient(drift, new ValueFunction(map, tilt, draws), coefficient);
            case MFM_GF -> new GradientFree(drift, new ValueFunction(map, tilt, draws), GradientFree.Centre.DRAWS);
            case GF_EXACT_D ->
                new GradientFree(drift, new ValueFunction(map, tilt, draws), GradientFree.Centre.DENOISER);
            case DPS -> new PosteriorMeanGradient(drift, tilt, coefficient);
            case EXACT -> new ExactGradient(data, reward, coefficient);
        };
    }

    /** Returns the sliced W2 distance of {@code count} steered samples from as many exact ones. */
    double distance(ValueGradient estimator, Dynamics dynamics, int steps, int count, long seed) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad();
                RandomSource random = RandomSource.seeded(seed);
                RandomSource exact = RandomSource.seeded(seed + 1_000_000)) {
            Tensor drawn = new SteeredSampler(estimator, TimeGrid.linspace(0.01, steps), dynamics)
                    .sample(new Stream(random, count, type), Condition.none())
                    .samples()
                    .to(DType.FLOAT64);
            Tensor wanted = tilted.sample(exact, count).to(DType.FLOAT64);
            return distance.distances(drawn.unsqueeze(0), wanted.unsqueeze(0)).item();
        }
    }

    @Override
    public void close() {
        distance.close();
        map.close();
        tilted.close();
        data.close();
    }
}
