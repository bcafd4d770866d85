package org.metaflowmaps.training;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.training.config.AverageConfig;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.OptimizerConfig;
import org.metaflowmaps.training.config.Precision;
import org.metaflowmaps.training.config.TeacherConfig;
import org.metaflowmaps.training.config.TimesConfig;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.config.WeightingConfig;
import org.metaflowmaps.training.data.DataConfig;
import org.metaflowmaps.training.data.ImageData;
import org.metaflowmaps.training.data.LabelledImages;
import org.metaflowmaps.training.data.Loader;
import org.metaflowmaps.training.data.MixtureData;
import org.metaflowmaps.training.data.Reading;
import org.metaflowmaps.training.data.TrainingData;

/** Tiny runs: a test sets only the fields it needs. */
final class Runs {
    static final List<double[]> MEANS = List.of(new double[] {-3, -3}, new double[] {0, 0}, new double[] {3, 3});
    static final double VARIANCE = 0.5;
    static final ModelConfig MLP = ModelConfig.of(SmallNetworks.mlpConfig(2, 16, 1, 3));
    static final ModelConfig TRANSFORMER = transformer(2);

    long seed = 5;
    long steps = 5;
    int batch = 4;
    int accumulate = 1;
    int logEvery = 1;
    int checkpointEvery = 1000;
    int checkpointKeep = 2;
    long checkpointKeepEvery;
    long warmUp;
    long decay;
    double learningRate = 1e-3;
    double clip = 1.5;
    double skipAbove;
    int maxSkipped = 1;
    double averageDecay = 0.9;
    double guidance = 1;

    @Nullable
    String init;

    Precision precision = Precision.FLOAT32;
    TeacherConfig teacher = TeacherConfig.builder().build();
    LossConfig.VelocityKind velocity = LossConfig.VelocityKind.DATA;
    ModelConfig model = MLP;
    OptimizerConfig.Kind optimizer = OptimizerConfig.Kind.RADAM;
    WeightingConfig.Kind weighting = WeightingConfig.Kind.L2;
    long evaluateEvery;
    long alphaTo;
    double consistencyShare = 1;
    LossConfig.ConsistencyKind consistency = LossConfig.ConsistencyKind.PSD;

    static ModelConfig transformer(int heads) {
        return ModelConfig.of(SmallNetworks.transformerConfig(4, 2, 1, 8, 1, heads, 3));
    }

    TrainConfig config() {
        WeightingConfig plain = WeightingConfig.builder().kind(weighting).build();
        TimesConfig.Law pair = TimesConfig.Law.builder()
                .kind(
                        consistency == LossConfig.ConsistencyKind.SHORTCUT
                                ? TimesConfig.LawKind.DYADIC
                                : TimesConfig.LawKind.UNIFORM)
                .build();
        return TrainConfig.builder()
                .seed(seed)
                .steps(steps)
                .batch(batch)
                .accumulate(accumulate)
                .guidance(guidance)
                .init(init)
                .logEvery(logEvery)
                .checkpointEvery(checkpointEvery)
                .checkpointKeep(checkpointKeep)
                .checkpointKeepEvery(checkpointKeepEvery)
                .evaluateEvery(evaluateEvery)
                .precision(precision)
                .data(DataConfig.builder()
                        .kind(DataConfig.Kind.MIXTURE)
                        .holdOut(0)
                        .means(MEANS)
                        .variance(VARIANCE)
                        .build())
                .model(model)
                .teacher(teacher)
                .loss(LossConfig.builder()
                        .velocity(velocity)
                        .diagonal(plain)
                        .consistency(consistency)
                        .consistencyWeighting(plain)
                        .consistencyShare(consistencyShare)
                        .alphaTo(alphaTo == 0 ? 4 : alphaTo)
                        .build())
                .times(TimesConfig.builder().pair(pair).build())
                .optimizer(OptimizerConfig.builder()
                        .kind(optimizer)
                        .learningRate(learningRate)
                        .warmUp(warmUp)
                        .decay(decay)
                        .weightDecay(optimizer == OptimizerConfig.Kind.ADAMW ? 0.01 : 0)
                        .clip(clip)
                        .skipAbove(skipAbove)
                        .maxSkipped(maxSkipped)
                        .build())
                .average(new AverageConfig(averageDecay, 2))
                .build();
    }

    /** Data of the model's shape, owned by the caller. */
    TrainingData data() {
        return data(Device.CPU);
    }

    TrainingData data(Device device) {
        if (model.mlp() != null) {
            return new MixtureData(MEANS, VARIANCE, seed, device);
        }
        try {
            return new Loader(new ImageData(images()), seed, Reading.of(0), device);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static LabelledImages images() {
        byte[] pixels = new byte[5 * 16];
        new Random(2).nextBytes(pixels);
        return new LabelledImages(pixels, 1, 4, 4, new byte[] {0, 1, 2, 1, 0}, List.of("a", "b", "c"));
    }
}
