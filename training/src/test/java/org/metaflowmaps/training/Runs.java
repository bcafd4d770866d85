package org.metaflowmaps.training;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.MlpConfig;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.models.model.TransformerConfig;
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
import org.metaflowmaps.training.loss.Lagrangian;

/** Tiny runs: set what matters to a test, leave the rest. */
final class Runs {
    static final List<double[]> MEANS = List.of(new double[] {-3, -3}, new double[] {0, 0}, new double[] {3, 3});
    static final double VARIANCE = 0.5;
    static final ModelConfig MLP = new ModelConfig(null, new MlpConfig(2, 16, 1, 3));
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
    TeacherConfig teacher = new TeacherConfig(TeacherConfig.Kind.NONE, null, null, TeacherConfig.Guidance.NONE, 0);
    LossConfig.VelocityKind velocity = LossConfig.VelocityKind.DATA;
    ModelConfig model = MLP;
    OptimizerConfig.Kind optimizer = OptimizerConfig.Kind.RADAM;
    WeightingConfig.Kind weighting = WeightingConfig.Kind.L2;
    long evaluateEvery;
    long alphaTo;
    double consistencyShare = 1;
    LossConfig.ConsistencyKind consistency = LossConfig.ConsistencyKind.PSD;

    static ModelConfig transformer(int heads) {
        return new ModelConfig(TransformerConfig.of(4, 2, 1, 8, 1, heads, 3), null);
    }

    TrainConfig config() {
        WeightingConfig plain = new WeightingConfig(weighting, 1, 0.01);
        TimesConfig.Law uniform = new TimesConfig.Law(TimesConfig.LawKind.UNIFORM, 0, 0, 1, 7);
        TimesConfig.Law dyadic = new TimesConfig.Law(TimesConfig.LawKind.DYADIC, 0, 0, 1, 7);
        return new TrainConfig(
                seed,
                steps,
                batch,
                accumulate,
                0.1,
                guidance,
                0,
                init,
                logEvery,
                checkpointEvery,
                checkpointKeep,
                checkpointKeepEvery,
                evaluateEvery,
                precision,
                DataConfig.mixture(MEANS, VARIANCE),
                model,
                teacher,
                new LossConfig(
                        velocity,
                        plain,
                        consistency,
                        plain,
                        consistencyShare,
                        1,
                        0,
                        Lagrangian.Through.DERIVATIVE,
                        false,
                        0,
                        0,
                        alphaTo == 0 ? 4 : alphaTo),
                new TimesConfig(
                        2, 0.1, 0, uniform, consistency == LossConfig.ConsistencyKind.SHORTCUT ? dyadic : uniform, 0),
                new OptimizerConfig(
                        optimizer,
                        learningRate,
                        warmUp,
                        decay,
                        0.9,
                        0.999,
                        1e-8,
                        optimizer == OptimizerConfig.Kind.ADAMW ? 0.01 : 0,
                        clip,
                        skipAbove,
                        maxSkipped),
                new AverageConfig(averageDecay, 2));
    }

    /** Data of the model's shape, owned by the caller. */
    TrainingData data() {
        if (model.mlp() != null) {
            return new MixtureData(MEANS, VARIANCE, seed, Device.CPU);
        }
        try {
            return new Loader(new ImageData(images()), seed, Reading.of(0), Device.CPU);
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
