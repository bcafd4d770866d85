package org.metaflowmaps.steering.finetune;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.mixture.GaussianMixture;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.LinearInterpolant;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.MlpConfig;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.ExactMixtureMap;
import org.metaflowmaps.steering.reward.LinearReward;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.training.Checkpoints;
import org.metaflowmaps.training.RunListener;
import org.metaflowmaps.training.Trainer;
import org.metaflowmaps.training.TrainerSettings;
import org.metaflowmaps.training.config.Precision;
import org.metaflowmaps.training.data.MixtureData;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.optim.AdamW;
import org.metaflowmaps.training.optim.MovingAverage;

/** A network learns the drift of a mixture that a linear reward tilts: the tilted law is a mixture whose drift is known. */
final class FineTuneLearningTest {
    private static final double[] DIRECTION = {0.6, -0.4};
    private static final double VARIANCE = 0.5;
    private static final long STEPS = 300;

    private static List<double[]> centres(double shift) {
        List<double[]> centres = new ArrayList<>();
        for (double mean : ExactMixtureMap.means()) {
            centres.add(new double[] {mean + shift * DIRECTION[0], mean + shift * DIRECTION[1]});
        }
        return centres;
    }

    /** e^{a·x} moves each component by its covariance times a, and weighs it by e^{a·m}. */
    private static GaussianMixture tilted() {
        double total = 0;
        List<Double> weights = new ArrayList<>();
        for (double mean : ExactMixtureMap.means()) {
            weights.add(Math.exp(mean * (DIRECTION[0] + DIRECTION[1])));
            total += weights.getLast();
        }
        double sum = total;
        double[][] covariance = {{VARIANCE, 0}, {0, VARIANCE}};
        return new GaussianMixture(
                weights.stream().map(weight -> weight / sum).toList(),
                centres(VARIANCE),
                IntStream.range(0, weights.size()).mapToObj(i -> covariance).toList(),
                Device.CPU);
    }

    private static double distance(Drift one, Drift other, TrainingData data) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad();
                RandomSource random = RandomSource.seeded(5)) {
            Tensor items = data.batch(1L << 40, 4096).items();
            Tensor time = random.uniform(4096).mul(0.9).add(0.05);
            Tensor state = LinearInterpolant.state(random.normal(items.shape()), items, time);
            return one.at(time, state, Condition.none())
                    .sub(other.at(time, state, Condition.none()))
                    .square()
                    .mean()
                    .item();
        }
    }

    /** The semi-gradient form has the weighted one's gradients, see {@link FineTuneExactTest}. */
    @ParameterizedTest
    @EnumSource(
            value = FineTuneLoss.Form.class,
            names = {"WEIGHTED", "GRADIENT_FREE", "REWARD_WEIGHTED"})
    void aNetworkLearnsTheTiltedDrift(FineTuneLoss.Form form) throws IOException {
        try (RandomSource random = RandomSource.seeded(2);
                MetaFlowMap map = new ExactMixtureMap();
                GaussianMixture law = GaussianMixture.isotropic(centres(0), VARIANCE, Device.CPU);
                GaussianMixture tilted = tilted();
                TrainingData data = new MixtureData(centres(0), VARIANCE, 1, Device.CPU);
                LinearReward reward = LinearReward.ofStates(DIRECTION, Device.CPU);
                MetaFlowMap student = MlpConfig.builder()
                        .dimension(2)
                        .width(64)
                        .depth(2)
                        .build()
                        .initialised(Device.CPU, random);
                MovingAverage average = new MovingAverage(student.parameters(), 0.98, 0);
                MetaFlowMap averaged = student.boundTo(average.values());
                FineTuneObjective objective = new FineTuneObjective(
                        student,
                        law.uncheckedDrift(),
                        map,
                        new Tilt(reward, 1),
                        FineTuneLoss.builder().form(form).times(0, 1.2).build(),
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
                                256,
                                1,
                                1,
                                STEPS,
                                STEPS,
                                1.5,
                                0,
                                5,
                                Precision.FLOAT32,
                                step -> 3e-3 * Math.min(1, 2.0 * (STEPS - step) / STEPS),
                                false,
                                false,
                                false),
                        Checkpoints.NONE)) {
            trainer.run(new RunListener() {});
            Drift found = new NetworkDrift(averaged, false);
            double tilt = distance(law.uncheckedDrift(), tilted.uncheckedDrift(), data);
            double error = distance(found, tilted.uncheckedDrift(), data);
            assertTrue(error < 0.1 * tilt, "error " + error + " of a tilt of " + tilt);
        }
    }
}
