package org.metaflowmaps.steering.evaluation;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.reward.ImageClassifier;
import org.metaflowmaps.steering.reward.PixelDecoder;
import org.metaflowmaps.training.Checkpoints;
import org.metaflowmaps.training.RunListener;
import org.metaflowmaps.training.Trainer;
import org.metaflowmaps.training.TrainerSettings;
import org.metaflowmaps.training.data.ImageData;
import org.metaflowmaps.training.data.LabelledImages;
import org.metaflowmaps.training.data.Loader;
import org.metaflowmaps.training.data.Reading;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.optim.AdamW;

/**
 * Trains a {@link FashionClassifier} or a {@link FashionJudge}: cross-entropy with smoothed labels, AdamW, a learning
 * rate that rises for the first tenth and then falls to 0 along a cosine.
 *
 * @param kind the classifier's architecture
 * @param epochs passes over the training images, at least 1
 * @param seed determines weights and order
 * @param mirrored whether half of the images are mirrored left to right, against overfitting; features of the others
 *     distinguish the direction of a shoe
 */
public record ClassifierTraining(ClassifierKind kind, int epochs, long seed, boolean mirrored) {
    private static final int BATCH = 128;
    private static final double LEARNING_RATE = 2e-3;
    private static final double WARM_UP = 0.1;
    private static final double WEIGHT_DECAY = 0.1;
    private static final double SMOOTHING = 0.05;
    private static final int CHUNK = 500;

    /** Receives the result of each epoch. */
    @FunctionalInterface
    public interface Listener {
        /**
         * Called after an epoch.
         *
         * @param epoch from 1
         * @param loss its mean over the epoch's batches
         * @param correct the number of test images classified correctly
         */
        void epoch(int epoch, double loss, long correct);
    }

    /** Checks the number of epochs. */
    public ClassifierTraining {
        Preconditions.checkArgument(epochs >= 1, "classifier: %s epochs, expected at least 1", epochs);
    }

    /** Trains on images as they are. */
    public ClassifierTraining(ClassifierKind kind, int epochs, long seed) {
        this(kind, epochs, seed, false);
    }

    /**
     * Trains and writes a classifier.
     *
     * @param images the training images
     * @param test the test images, evaluated after each epoch
     * @param file the file for the weights, in float16, with metadata about the training
     * @return the number of test images that the written weights classify correctly
     * @throws IOException if the file cannot be written
     */
    public long run(LabelledImages images, LabelledImages test, Device device, Path file, Listener listener)
            throws IOException {
        try (RandomSource random = RandomSource.seeded(seed, device);
                TrainingData data =
                        new Loader(new ImageData(images), seed, new Reading(0, 0, mirrored, false, 0), device);
                TrainedClassifier classifier = kind.initialised(device, random);
                AdamW optimizer = new AdamW(classifier.parameters(), 0.9, 0.99, 1e-8, WEIGHT_DECAY)) {
            long batches = Math.ceilDiv(images.count(), BATCH);
            double steps = (double) epochs * batches;
            TrainerSettings settings =
                    TrainerSettings.of(epochs * batches, BATCH, step -> LEARNING_RATE * share((step + 1) / steps));
            Epochs told = new Epochs(classifier, test, device, batches, epochs, listener);
            try (Trainer<TrainingData.Batch> trainer = new Trainer<>(
                    new CrossEntropy(classifier, SMOOTHING),
                    data,
                    List.of(optimizer),
                    Optional.empty(),
                    settings,
                    Checkpoints.NONE)) {
                trainer.run(told);
            }
            long correct = told.correct;
            Map<String, String> description = new LinkedHashMap<>();
            description.put(
                    "command",
                    String.format(
                            Locale.ROOT,
                            "mfm classifier --kind %s --data DIR --out FILE --epochs %d --seed %d%s",
                            kind,
                            epochs,
                            seed,
                            mirrored ? " --mirror" : ""));
            description.put("trained_on", images.count() + " images");
            description.put("test_images", Integer.toString(test.count()));
            description.put(FashionClassifier.CORRECT, Long.toString(correct));
            classifier.write(file, description);
            return correct;
        }
    }

    /** Returns the learning rate relative to its peak at a fraction of the run. */
    private static double share(double done) {
        return done < WARM_UP ? done / WARM_UP : 0.5 * (1 + Math.cos(Math.PI * (done - WARM_UP) / (1 - WARM_UP)));
    }

    /** Counts correct answers after each epoch. */
    private static final class Epochs implements RunListener {
        private final TrainedClassifier classifier;
        private final LabelledImages test;
        private final Device device;
        private final long batches;
        private final int epochs;
        private final Listener listener;
        private double loss;
        private long correct;

        Epochs(
                TrainedClassifier classifier,
                LabelledImages test,
                Device device,
                long batches,
                int epochs,
                Listener listener) {
            this.classifier = classifier;
            this.test = test;
            this.device = device;
            this.batches = batches;
            this.epochs = epochs;
            this.listener = listener;
        }

        @Override
        public void stepped(long step, Trainer.@Nullable Report report) {
            loss += report == null ? Double.NaN : report.error(CrossEntropy.NAME);
            if (step % batches != 0) {
                return;
            }
            int epoch = Math.toIntExact(step / batches);
            if (epoch == epochs) {
                classifier.round();
            }
            correct = correct(classifier, test, test.count(), device);
            listener.epoch(epoch, loss / batches, correct);
            loss = 0;
        }
    }

    /**
     * Returns how many of a set's first images are classified correctly.
     *
     * @param count the number of images, at most as many as the set has
     * @param device the classifier's
     */
    public static long correct(ImageClassifier classifier, LabelledImages images, int count, Device device) {
        long correct = 0;
        for (int from = 0; from < count; from += CHUNK) {
            try (TensorScope scope = TensorScope.open();
                    Autograd.Mode off = Autograd.inference()) {
                int to = Math.min(count, from + CHUNK);
                Tensor items = ImageData.items(images, from, to, device);
                Tensor guess =
                        classifier.classify(new PixelDecoder().decode(items)).argmax(1);
                correct += (long) guess.eq(ImageData.labels(images, from, to, device))
                        .sum()
                        .item();
            }
        }
        return correct;
    }
}
