package org.metaflowmaps.steering.reward;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Close.assertClose;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.metaflowmaps.models.mixture.LinearGaussianReward;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.evaluation.FashionClassifier;
import org.metaflowmaps.training.data.FashionMnist;
import org.metaflowmaps.training.data.ImageData;
import org.metaflowmaps.training.data.LabelledImages;

/** Every shipped reward: values, gradients, and independence of the batch. */
final class RewardsTest {
    private final long live = NativeMemory.liveTensors();

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    /** A reward to make; the name is for the test's title. */
    record Case(String name, Supplier<Reward> maker) {
        @Override
        public String toString() {
            return name;
        }
    }

    static Stream<Case> differentiable() {
        return Stream.of(
                new Case("class", () -> new ClassLogLikelihood(Samples.classifier(), 2)),
                new Case("mixture", () -> new ClassMixture(Samples.classifier(), new double[] {1, 0, 3}, Device.CPU)),
                new Case(
                        "linear",
                        () -> LinearReward.ofImages(
                                Stream.iterate(0.3, a -> -1.05 * a)
                                        .limit(Samples.NUMBERS)
                                        .mapToDouble(a -> a)
                                        .toArray(),
                                Device.CPU)),
                new Case("linear of states", () -> LinearReward.ofStates(new double[] {1.2, -0.8}, Device.CPU)),
                new Case(
                        "linear-Gaussian",
                        () -> new LinearGaussianLikelihood(new LinearGaussianReward(new double[] {1, -2}, 0.3, 0.7))),
                new Case("brightness", ImageStatistic::brightness),
                new Case("contrast", ImageStatistic::contrast),
                new Case("channel", () -> ImageStatistic.ofChannel(1)),
                new Case("inpainting", () -> {
                    try (TensorScope scope = TensorScope.open()) {
                        return Samples.problem(Measurement.inpainting(Samples.leftHalf()));
                    }
                }),
                new Case("down-sampling", () -> Samples.problem(Measurement.downsampling(2))),
                new Case("blur", () -> Samples.problem(Samples.blur())),
                new Case(
                        "sum",
                        () -> new WeightedSum(List.of(
                                new WeightedSum.Term(ImageStatistic.contrast(), -1.5, 0.3, 0.1),
                                new WeightedSum.Term(new ClassLogLikelihood(Samples.classifier(), 0), 0.5, -2, 1.5)))));
    }

    private static Tensor samples(Reward reward) {
        return reward.takesStates() ? Samples.normal(1, 3, 2) : Samples.images(3, 1);
    }

    @ParameterizedTest
    @MethodSource("differentiable")
    void theGradientIsThatOfCentralDifferences(Case given) {
        double step = 1e-5;
        try (TensorScope scope = TensorScope.open();
                Reward reward = given.maker().get()) {
            assertTrue(reward.isDifferentiable());
            Tensor samples = samples(reward);
            Tensor input = samples.clone().requiresGrad_(true);
            Tensor gradient = Autograd.gradients(
                            reward.score(input, Condition.none()).sum(), List.of(input))
                    .getFirst();
            int numbers = Math.toIntExact(samples.numel() / 3);
            double[] expected = new double[3 * numbers];
            for (int i = 0; i < numbers; i++) {
                double[] move = new double[numbers];
                move[i] = step;
                Tensor moved = Torch.of(move).reshape(samples.shape().from(1));
                double[] up = Samples.scores(reward, samples.add(moved));
                double[] down = Samples.scores(reward, samples.sub(moved));
                for (int item = 0; item < 3; item++) {
                    expected[item * numbers + i] = (up[item] - down[item]) / (2 * step);
                }
            }
            assertClose(Torch.of(expected).reshape(samples.shape()), gradient, 1e-7, given.name());
        }
    }

    /** The probe also checks shape, type and repeated calls. */
    @ParameterizedTest
    @MethodSource("differentiable")
    void anItemDoesNotDependOnTheBatch(Case given) {
        try (TensorScope scope = TensorScope.open();
                Reward reward = given.maker().get()) {
            Tensor samples = samples(reward);
            double[] together = Samples.scores(reward, samples);
            for (int item = 0; item < 3; item++) {
                assertEquals(together[item], Samples.scores(reward, samples.narrow(0, item, 1))[0], 1e-12);
            }
            RewardProbe.check(reward, samples, Condition.none());
            RewardProbe.check(reward, samples.to(DType.FLOAT32), Condition.none());
        }
    }

    @Test
    void classesAndMixturesHaveTheirProbabilities() {
        ImageClassifier classifier = images -> images.reshape(-1, 3); // an image of three pixels is its own logits
        try (TensorScope scope = TensorScope.open();
                Reward mixture = new ClassMixture(classifier, new double[] {0, 1, 3}, Device.CPU);
                Reward one = new ClassMixture(classifier, new double[] {0, 2, 0}, Device.CPU)) {
            Tensor images = Torch.of(new double[] {0, Math.log(2), Math.log(5)}, 1, 1, 1, 3);
            assertEquals(Math.log(2 / 8.0), Samples.scores(new ClassLogLikelihood(classifier, 1), images)[0], 1e-12);
            assertEquals(Math.log(0.25 * 2 / 8 + 0.75 * 5 / 8), Samples.scores(mixture, images)[0], 1e-12);
            assertEquals(Math.log(2 / 8.0), Samples.scores(one, images)[0], 1e-12);
            // Probabilities are not computed: that of class 1 is e^-1000, which is 0 in float64.
            Tensor certain = Torch.of(new double[] {1000, 0, -500}, 1, 1, 1, 3);
            assertEquals(-1000, Samples.scores(one, certain)[0], 1e-9);
            assertEquals(-1000 + Math.log(0.25), Samples.scores(mixture, certain)[0], 1e-9);
            assertRefused(
                    () -> new ClassLogLikelihood(classifier, 3).score(images, Condition.none()),
                    "class 3",
                    "at least 4 classes");
            try (Reward wide = new ClassMixture(classifier, new double[] {1, 1}, Device.CPU)) {
                assertRefused(() -> wide.score(images, Condition.none()), "2 weights", "3 classes");
            }
        }
        assertRefused(() -> new ClassLogLikelihood(classifier, -1), "from 0");
        assertRefused(() -> new ClassMixture(classifier, new double[] {0, 0}, Device.CPU), "one above 0");
        assertRefused(() -> new ClassMixture(classifier, new double[] {1, -1, 3}, Device.CPU), "-1.0");
    }

    /** With images in [-1, 1], or shifted labels, the accuracy would be much lower. */
    @Test
    void theShippedClassifierTakesDecodedImages() {
        LabelledImages test = FashionMnist.test();
        try (FashionClassifier classifier = FashionClassifier.shipped(Device.CPU);
                TensorScope scope = TensorScope.open()) {
            Tensor states = ImageData.items(test, 0, 100, Device.CPU);
            Tensor images = new PixelDecoder().decode(states);
            assertClose(
                    classifier.logits(classifier.features(states)).detach(),
                    classifier.classify(images).detach(),
                    1e-5,
                    "logits");
            int right = 0;
            for (int label = 0; label < 10; label++) {
                Reward reward = new ClassLogLikelihood(classifier, label);
                double[] scores = Samples.scores(reward, images);
                for (int i = 0; i < scores.length; i++) {
                    right += test.label(i) == label && scores[i] > Math.log(0.5) ? 1 : 0;
                }
            }
            assertTrue(right >= 85, right + " of 100 are likely to be of their class");
            RewardProbe.check(new ClassLogLikelihood(classifier, 3), images, Condition.none());
            assertEquals(
                    DType.FLOAT64,
                    classifier
                            .classify(images.narrow(0, 0, 1).to(DType.FLOAT64))
                            .dtype());
        }
    }

    @Test
    void statisticsAreThoseOfPixels() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor image = Torch.of(new double[] {0, 0.2, 0.4, 0.6, 0.8, 1}, 1, 2, 1, 3);
            assertEquals(0.5, Samples.scores(ImageStatistic.brightness(), image)[0], 1e-12);
            assertEquals(0.2, Samples.scores(ImageStatistic.ofChannel(0), image)[0], 1e-12);
            assertEquals(0.8, Samples.scores(ImageStatistic.ofChannel(1), image)[0], 1e-12);
            // The channels' means are 0.3, 0.5, 0.7.
            assertEquals(Math.sqrt(0.08 / 3), Samples.scores(ImageStatistic.contrast(), image)[0], 1e-10);
            Tensor grey = Torch.onesLike(image).mul(0.5).requiresGrad_(true);
            Tensor score = ImageStatistic.contrast().score(grey, Condition.none());
            assertEquals(0, score.item(), 2e-6);
            assertArrayEquals(
                    new double[6],
                    Autograd.gradients(score.sum(), List.of(grey)).getFirst().toDoubleArray(),
                    0);
            assertRefused(() -> ImageStatistic.ofChannel(2).score(image, Condition.none()), "channel 2", "2 channels");
            assertRefused(() -> ImageStatistic.brightness().score(Torch.zeros(3, 2), Condition.none()), "(N, C, H, W)");
        }
        assertRefused(() -> ImageStatistic.ofChannel(-1), "from 0");
    }

    @Test
    void linearRewardsRefuseOtherSizes() {
        try (TensorScope scope = TensorScope.open();
                Reward reward = LinearReward.ofStates(new double[] {1.2, -0.8}, Device.CPU)) {
            assertArrayEquals(
                    new double[] {1.2, -2}, Samples.scores(reward, Torch.of(new double[] {1, 0, -1, 1}, 2, 2)), 1e-12);
            assertTrue(reward.takesStates());
            assertRefused(() -> reward.score(Torch.zeros(2, 3), Condition.none()), "2 numbers in an item");
            Reward likelihood = new LinearGaussianLikelihood(new LinearGaussianReward(new double[] {1, 0}, 0.5, 0.5));
            assertTrue(likelihood.takesStates());
            assertRefused(() -> likelihood.score(Torch.zeros(2, 1, 2), Condition.none()), "vectors (N, d)");
        }
        assertRefused(() -> LinearReward.ofImages(new double[0], Device.CPU), "at least one");
        assertRefused(() -> LinearReward.ofImages(new double[] {Double.NaN}, Device.CPU), "NaN");
    }

    @Test
    void aSumStandardisesAndPassesMinusInfinity() {
        AtomicReference<Double> low = new AtomicReference<>(0.0);
        Reward fake = fake(false, low);
        WeightedSum sum = new WeightedSum(List.of(
                new WeightedSum.Term(ImageStatistic.brightness(), 2, 0.4, 0.1), new WeightedSum.Term(fake, 3, -1, 4)));
        try (TensorScope scope = TensorScope.open()) {
            Tensor image = Torch.onesLike(Samples.images(1, 1)).mul(0.5);
            assertEquals(2 * (0.5 - 0.4) / 0.1 + 3 * (0 + 1) / 4.0, Samples.scores(sum, image)[0], 1e-12);
            low.set(Double.NEGATIVE_INFINITY);
            assertEquals(Double.NEGATIVE_INFINITY, Samples.scores(sum, image)[0]);
            assertEquals(
                    Double.NEGATIVE_INFINITY,
                    new Tilt(sum, Decoder.IDENTITY, 0.5)
                            .at(image, Condition.none())
                            .item());
        }
        assertFalse(sum.isDifferentiable());
        assertEquals("brightness + fake", sum.name());
        assertEquals("2.0*(brightness - 0.4)/0.1 + 3.0*(fake - -1.0)/4.0", sum.description());
        Calibration calibration = new Calibration(new double[] {1, 3}, 0);
        assertEquals(new WeightedSum.Term(fake, 1, 2, Math.sqrt(2)), WeightedSum.Term.of(fake, 1, calibration));
        assertRefused(() -> new WeightedSum(List.of()), "no terms");
        assertRefused(() -> new WeightedSum.Term(fake, 0, 0, 1), "fake", "other than 0");
        assertRefused(() -> new WeightedSum.Term(fake, 1, 0, 0), "standard deviation of fake is 0");
        assertRefused(
                () -> new WeightedSum(
                        List.of(new WeightedSum.Term(fake, 1, 0, 1), new WeightedSum.Term(fake(true, low), 1, 0, 1))),
                "takes states");
    }

    private static Reward fake(boolean states, AtomicReference<Double> score) {
        return new Reward() {
            @Override
            public String name() {
                return "fake";
            }

            @Override
            public Tensor score(Tensor samples, Condition condition) {
                return Torch.full(score.get(), samples.dtype(), samples.device(), samples.size(0));
            }

            @Override
            public boolean isDifferentiable() {
                return false;
            }

            @Override
            public boolean takesStates() {
                return states;
            }
        };
    }

    @Test
    void aJavaRewardReadsTheTensorsOwnMemory() {
        AtomicReference<MemorySegment> seen = new AtomicReference<>(MemorySegment.NULL);
        Reward reward = new JavaReward("first pixel", (images, shape) -> {
            seen.set(images);
            float[] scores = new float[Math.toIntExact(shape.size(0))];
            for (int i = 0; i < scores.length; i++) {
                scores[i] = images.getAtIndex(ValueLayout.JAVA_FLOAT, i * (shape.numel() / scores.length));
            }
            scores[0] = Float.NEGATIVE_INFINITY;
            return scores;
        });
        assertFalse(reward.isDifferentiable());
        try (TensorScope scope = TensorScope.open()) {
            Tensor images = Samples.images(3, 1).to(DType.FLOAT32).clone();
            double[] scores = Samples.scores(reward, images);
            assertEquals(images.segment().address(), seen.get().address(), "no copy");
            assertTrue(seen.get().isReadOnly());
            assertFalse(seen.get().scope().isAlive(), "the memory is lent for the call");
            assertArrayEquals(
                    new double[] {
                        Double.NEGATIVE_INFINITY,
                        images.toDoubleArray()[Samples.NUMBERS],
                        images.toDoubleArray()[2 * Samples.NUMBERS]
                    },
                    scores);
            Tensor wide = images.to(DType.FLOAT64);
            assertEquals(DType.FLOAT64, reward.score(wide, Condition.none()).dtype());
            assertArrayEquals(scores, Samples.scores(reward, wide));
            // A view that is not contiguous is copied in row-major order.
            Tensor turned = images.transpose(2, 3);
            assertArrayEquals(scores, Samples.scores(reward, turned));
            RewardProbe.check(
                    new JavaReward("constant", (memory, shape) -> new float[(int) shape.size(0)]),
                    images,
                    Condition.none());
            Reward few = new JavaReward("few", (memory, shape) -> new float[1]);
            assertRefused(() -> few.score(images, Condition.none()), "few", "1 scores for 3");
        }
    }
}
