package org.metaflowmaps.steering.finetune;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.LongFunction;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.models.drift.Glass;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.mixture.GaussianMixture;
import org.metaflowmaps.models.mixture.LinearGaussianReward;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.MlpConfig;
import org.metaflowmaps.models.sampler.FlowMapSampler;
import org.metaflowmaps.models.sampler.OdeSampler;
import org.metaflowmaps.models.sampler.Sampler;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.ExactMixtureMap;
import org.metaflowmaps.steering.UnlabelledData;
import org.metaflowmaps.steering.metric.SlicedWasserstein;
import org.metaflowmaps.steering.reward.LinearGaussianLikelihood;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.training.Checkpoints;
import org.metaflowmaps.training.RunListener;
import org.metaflowmaps.training.Trainer;
import org.metaflowmaps.training.TrainerSettings;
import org.metaflowmaps.training.TrainingRun;
import org.metaflowmaps.training.config.Configs;
import org.metaflowmaps.training.config.Precision;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.MixtureData;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.optim.AdamW;
import org.metaflowmaps.training.optim.MovingAverage;

/**
 * A one-step map of the tilted law (method §9.3) on the paper's mixture in two dimensions (F.1): a drift is fine-tuned
 * with draws of the exact map, then a map is distilled from it by GLASS.
 */
@Tag("soak")
final class TiltedMapTest {
    private static final List<double[]> CENTRES =
            List.of(new double[] {-3, -3}, new double[] {0, 0}, new double[] {3, 3});
    private static final double VARIANCE = 0.5;
    private static final LinearGaussianReward REWARD = new LinearGaussianReward(new double[] {1.2, -0.8}, -1, 0.2);
    private static final long STEPS = 1000;
    private static final int SAMPLES = 4096;
    private static final int SEEDS = 20;

    @TempDir
    private Path folder;

    /** One step from noise is within twice the distance of two exact samples of the tilted law. */
    @Test
    void oneStepSamplesTheTiltedLaw() throws IOException {
        try (RandomSource random = RandomSource.seeded(2);
                MetaFlowMap student = MlpConfig.builder()
                        .dimension(2)
                        .width(64)
                        .depth(3)
                        .build()
                        .initialised(Device.CPU, random);
                MovingAverage average = new MovingAverage(student.parameters(), 0.99, 0);
                MetaFlowMap averaged = student.boundTo(average.values())) {
            fineTune(student, average, random);
            report("ODE of the fine-tuned drift, 250 steps", new OdeSampler(new NetworkDrift(averaged, false), 250), 3);
            TrainConfig config = Configs.load(
                            "mixture/distill",
                            List.of(
                                    "teacher.kind=given",
                                    "model.mlp.width=64",
                                    "model.mlp.label_dim=0",
                                    "loss.consistency=shortcut",
                                    "times.pair.kind=dyadic",
                                    "times.context_atom=0.3",
                                    "steps=3000",
                                    "optimizer.decay=2100"))
                    .config();
            try (TrainingData data = data();
                    TrainingRun run = new TrainingRun(
                            config, data, new Glass(new NetworkDrift(averaged, false)), Device.CPU, folder)) {
                run.run();
                double floor = mean(SEEDS, seed -> distance(exact(2_000_000 + seed), seed));
                System.out.printf(Locale.ROOT, "floor: %.4f%n", floor);
                double found = report("one step", new FlowMapSampler(run.averaged(), 1), SEEDS);
                report("two steps", new FlowMapSampler(run.averaged(), 2), SEEDS);
                assertTrue(found <= 2 * floor, found + ", floor " + floor);
            }
        }
    }

    private static TrainingData data() {
        return new UnlabelledData(new MixtureData(CENTRES, VARIANCE, 1, Device.CPU));
    }

    private static void fineTune(MetaFlowMap student, MovingAverage average, RandomSource random) throws IOException {
        try (MetaFlowMap map = new ExactMixtureMap();
                GaussianMixture law = GaussianMixture.isotropic(CENTRES, VARIANCE, Device.CPU);
                TrainingData data = data();
                FineTuneObjective objective = new FineTuneObjective(
                        student,
                        law.uncheckedDrift(),
                        map,
                        new Tilt(new LinearGaussianLikelihood(REWARD), 1),
                        // The reward's gradient has a larger variance here: draws jump between centres.
                        FineTuneLoss.builder()
                                .form(FineTuneLoss.Form.GRADIENT_FREE)
                                .times(0, 1.2)
                                .window(100_000)
                                .build(),
                        random,
                        null);
                AdamW optimizer = new AdamW(student.parameters(), 0.9, 0.99, 1e-8, 0);
                Trainer<FineTuneDraw> trainer = new Trainer<>(
                        objective,
                        data,
                        List.of(optimizer),
                        Optional.of(average),
                        new TrainerSettings(
                                STEPS,
                                1024,
                                1,
                                1,
                                (int) STEPS,
                                STEPS,
                                10,
                                0,
                                5,
                                Precision.FLOAT32,
                                step -> 3e-3 * Math.min(1, 1.5 * (STEPS - step) / STEPS),
                                false,
                                false,
                                false),
                        Checkpoints.NONE)) {
            trainer.run(new RunListener() {});
        }
    }

    private static double report(String name, Sampler<Condition> sampler, int seeds) {
        double found = mean(seeds, seed -> {
            try (RandomSource random = RandomSource.seeded(seed)) {
                Tensor noise = random.normal(SAMPLES, 2);
                return distance(
                        sampler.sample(noise, Condition.none()).samples().to(DType.FLOAT64), seed);
            }
        });
        System.out.printf(Locale.ROOT, "%s: %.4f%n", name, found);
        return found;
    }

    private static double mean(int seeds, LongFunction<Double> distance) {
        double sum = 0;
        for (int seed = 1; seed <= seeds; seed++) {
            try (TensorScope scope = TensorScope.open();
                    Autograd.Mode off = Autograd.noGrad()) {
                sum += distance.apply(seed);
            }
        }
        return sum / seeds;
    }

    private static Tensor exact(long seed) {
        try (GaussianMixture law = GaussianMixture.isotropic(CENTRES, VARIANCE, Device.CPU);
                GaussianMixture tilted = REWARD.tilted(law);
                RandomSource random = RandomSource.seeded(seed)) {
            return tilted.sample(random, SAMPLES).to(DType.FLOAT64);
        }
    }

    private static double distance(Tensor samples, long seed) {
        try (SlicedWasserstein distance = new SlicedWasserstein(2, 128, 0, Device.CPU)) {
            return distance.distances(
                            samples.unsqueeze(0), exact(1_000_000 + seed).unsqueeze(0))
                    .item();
        }
    }
}
