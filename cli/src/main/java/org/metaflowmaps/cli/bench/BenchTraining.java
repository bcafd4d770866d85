package org.metaflowmaps.cli.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.training.RunListener;
import org.metaflowmaps.training.Trainer;
import org.metaflowmaps.training.TrainingRun;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.OptimizerConfig;
import org.metaflowmaps.training.config.Precision;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.TrainingData;

/** Times of whole training steps: data in memory, draw, losses, gradients, clipping, AdamW, moving average. */
final class BenchTraining {
    private final BenchSize size;
    private final int batch;
    private final Device device;
    private final Precision precision;

    BenchTraining(BenchSize size, int batch, Device device, Precision precision) {
        this.size = size;
        this.batch = batch;
        this.device = device;
        this.precision = precision;
    }

    /** Losses, with their cost in forward passes of the network per item. */
    enum Kind {
        /** The velocity alone: a forward pass, and a backward pass of twice its cost. */
        FLOW("flow", 3, LossConfig.ConsistencyKind.NONE),
        /** With MeanFlow's loss on as many pairs: the same again, and the tangent of one forward pass. */
        MEAN_FLOW("mean flow", 7, LossConfig.ConsistencyKind.MEAN_FLOW);

        private final String text;
        private final int passes;
        private final LossConfig.ConsistencyKind consistency;

        Kind(String text, int passes, LossConfig.ConsistencyKind consistency) {
            this.text = text;
            this.passes = passes;
            this.consistency = consistency;
        }

        int passes() {
            return passes;
        }

        @Override
        public String toString() {
            return text;
        }
    }

    BenchTime time(Kind kind, int warmUp, int repetitions) throws IOException {
        TrainConfig config = TrainConfig.builder()
                .steps(1_000_000)
                .batch(batch)
                .precision(precision)
                .logEvery(1_000_000)
                .checkpointEvery(1_000_000)
                .model(ModelConfig.of(size.network()))
                .loss(LossConfig.builder()
                        .consistency(kind.consistency)
                        .consistencyShare(1)
                        .build())
                .optimizer(OptimizerConfig.builder()
                        .kind(OptimizerConfig.Kind.ADAMW)
                        .learningRate(1e-4)
                        .clip(1)
                        .build())
                .build();
        Path folder = Files.createTempDirectory("mfm-bench");
        try (RandomItems data = new RandomItems();
                TrainingRun run = new TrainingRun(config, data, device, folder)) {
            run.initialise();
            Clock clock = new Clock(warmUp, repetitions);
            try {
                run.run(clock);
            } catch (Finished e) {
                // The last step's checkpoint is not needed.
            }
            return BenchTime.of(clock.whole, clock.host, device);
        } finally {
            try (Stream<Path> files = Files.walk(folder)) {
                for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                    Files.delete(file);
                }
            }
        }
    }

    private static final class Finished extends IOException {
        private static final long serialVersionUID = 1;
    }

    /** Measures steps, and ends the run after the last one. */
    private final class Clock implements RunListener {
        private final int warmUp;
        private final double[] whole;
        private final double[] host;
        private long begin;

        Clock(int warmUp, int repetitions) {
            this.warmUp = warmUp;
            this.whole = new double[repetitions];
            this.host = new double[repetitions];
        }

        @Override
        public void started(long step, long steps) {
            begin = System.nanoTime();
        }

        @Override
        public void stepped(long step, Trainer.@Nullable Report report) throws IOException {
            long submitted = System.nanoTime();
            BenchTime.await(device);
            int index = (int) step - 1 - warmUp;
            if (index >= 0) {
                host[index] = (submitted - begin) * 1e-9;
                whole[index] = (System.nanoTime() - begin) * 1e-9;
            }
            if (index + 1 == whole.length) {
                throw new Finished();
            }
            if (index == -1) {
                BenchTime.resetPeak(device);
            }
            begin = System.nanoTime();
        }
    }

    /** The same random items at each step. */
    private final class RandomItems implements TrainingData {
        private final List<Tensor> tensors;

        RandomItems() {
            try (TensorScope scope = TensorScope.open();
                    RandomSource random = RandomSource.seeded(1, device)) {
                tensors = List.of(
                        random.normal(itemShape().prepend(batch)).retain(),
                        random.integers(0, classes(), batch).retain());
            }
        }

        @Override
        public Shape itemShape() {
            return Shape.of(
                    size.network().inChannels(),
                    size.network().inputSize(),
                    size.network().inputSize());
        }

        @Override
        public int classes() {
            return size.network().labelDim();
        }

        @Override
        public Batch batch(long position, int count) {
            return new Batch(tensors.get(0), tensors.get(1));
        }

        @Override
        public void close() {
            tensors.forEach(Tensor::close);
        }
    }
}
