package org.metaflowmaps.examples;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.MlpConfig;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.models.sampler.Noise;
import org.metaflowmaps.models.sampler.RefinementSampler;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.TrainingRun;
import org.metaflowmaps.training.config.AverageConfig;
import org.metaflowmaps.training.config.OptimizerConfig;
import org.metaflowmaps.training.config.TimesConfig;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.TrainingData;

/** Trains a map on generated data: points of two spiral arms in the plane; each arm is a class. */
public final class OwnData {
    private OwnData() {}

    /** A small MLP and settings that differ from the defaults; the loss is the default, PSD. */
    private static TrainConfig config() {
        return TrainConfig.builder()
                .steps(2000)
                .batch(256)
                .logEvery(100)
                .model(ModelConfig.of(MlpConfig.builder()
                        .dimension(2)
                        .width(64)
                        .labelDim(Spirals.ARMS)
                        .build()))
                .times(TimesConfig.builder().contextPower(1).build())
                .optimizer(OptimizerConfig.builder()
                        .kind(OptimizerConfig.Kind.ADAMW)
                        .learningRate(2e-3)
                        .beta2(0.99)
                        .warmUp(100)
                        .decay(1000)
                        .clip(1)
                        .build())
                .average(new AverageConfig(0.998, 100))
                .build();
    }

    /**
     * Trains, samples and prints how far samples are from their arm.
     *
     * @param arguments the folder for the run, then {@code key=value} settings
     */
    public static void main(String[] arguments) throws IOException {
        if (arguments.length == 0) {
            throw new IllegalArgumentException("expected a folder for the run, then settings such as steps=500");
        }
        TrainConfig config = config().with(Arrays.copyOfRange(arguments, 1, arguments.length));
        try (TrainingData data = new Spirals(config.seed());
                TrainingRun run = new TrainingRun(config, data, Device.CPU, Path.of(arguments[0]))) {
            run.initialise();
            if (run.run()) {
                System.out.printf("mean distance of samples to their arm: %.3f%n", distance(run.map(), 64));
            }
        }
    }

    private static double distance(MetaFlowMap map, int each) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1);
                Autograd.Mode off = Autograd.inference()) {
            double sum = 0;
            for (int arm = 0; arm < Spirals.ARMS; arm++) {
                long[] labels = new long[each];
                Arrays.fill(labels, arm);
                Tensor points = new RefinementSampler(map, 4)
                        .sample(Noise.of(random, map, each), Condition.labelled(Torch.of(labels)))
                        .samples();
                float[] values = points.toFloatArray();
                for (int i = 0; i < each; i++) {
                    sum += Spirals.distance(arm, values[2 * i], values[2 * i + 1]);
                }
            }
            return sum / (Spirals.ARMS * each);
        }
    }

    /**
     * An endless stream of points on two spiral arms. A stream returns the same items for the same position, so that a
     * resumed run gets the items of an uninterrupted one.
     */
    static final class Spirals implements TrainingData {
        static final int ARMS = 2;

        private static final double TURN = 1.5 * Math.PI;
        private static final RandomGeneratorFactory<RandomGenerator> GENERATOR =
                RandomGeneratorFactory.of("L64X128MixRandom");

        private final long seed;

        /** Makes a stream of points; the seed determines all of them. */
        Spirals(long seed) {
            this.seed = seed;
        }

        @Override
        public Shape itemShape() {
            return Shape.of(2);
        }

        @Override
        public int classes() {
            return ARMS;
        }

        @Override
        public Batch batch(long position, int count) {
            float[] points = new float[2 * count];
            long[] arms = new long[count];
            for (int i = 0; i < count; i++) {
                RandomGenerator random = GENERATOR.create(seed + position + i);
                arms[i] = random.nextInt(ARMS);
                double along = random.nextDouble();
                points[2 * i] = x((int) arms[i], along);
                points[2 * i + 1] = y((int) arms[i], along);
            }
            return new Batch(Torch.of(points, count, 2), Torch.of(arms));
        }

        private static float x(int arm, double along) {
            return (float) (2 * along * Math.cos(TURN * along + Math.PI * arm));
        }

        private static float y(int arm, double along) {
            return (float) (2 * along * Math.sin(TURN * along + Math.PI * arm));
        }

        /** Returns the distance of a point to the nearest of a thousand points of an arm. */
        static double distance(int arm, float x, float y) {
            double least = Double.POSITIVE_INFINITY;
            for (int i = 0; i < 1000; i++) {
                least = Math.min(least, Math.hypot(x - x(arm, i / 1000.0), y - y(arm, i / 1000.0)));
            }
            return least;
        }

        @Override
        public void close() {}
    }
}
