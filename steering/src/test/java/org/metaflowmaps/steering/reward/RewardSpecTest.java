package org.metaflowmaps.steering.reward;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.io.IOException;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.mixture.LinearGaussianReward;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

final class RewardSpecTest {
    private final long live = NativeMemory.liveTensors();

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    private static RewardContext context(Tensor image) {
        return new RewardContext(Device.CPU, Optional.of(Samples.classifier()), Optional.of(image), 5);
    }

    private static void same(String text, Reward expected) throws IOException {
        try (TensorScope scope = TensorScope.open();
                expected;
                Reward reward =
                        RewardSpec.parse(text).open(context(Samples.images(1, 6).select(0, 0)))) {
            Tensor samples = expected.takesStates() ? Samples.normal(2, 3, 2) : Samples.images(3, 2);
            assertEquals(expected.takesStates(), reward.takesStates(), text);
            assertEquals(expected.name(), reward.name(), text);
            assertArrayEquals(Samples.scores(expected, samples), Samples.scores(reward, samples), 1e-12, text);
        }
    }

    @Test
    void everyKindIsRead() throws IOException {
        same("class:2", new ClassLogLikelihood(Samples.classifier(), 2));
        same("mixture:0,1,0.5", new ClassMixture(Samples.classifier(), new double[] {0, 2, 1}, Device.CPU));
        same("linear:1.2,-0.8", LinearReward.ofStates(new double[] {1.2, -0.8}, Device.CPU));
        same(
                "linear-gaussian:-1,0.2,1.2,-0.8",
                new LinearGaussianLikelihood(new LinearGaussianReward(new double[] {1.2, -0.8}, -1, 0.2)));
        same("brightness", ImageStatistic.brightness());
        same(" contrast ", ImageStatistic.contrast());
        same("channel: 1", ImageStatistic.ofChannel(1));
        same("downsample:2,0.1", Samples.problem(Measurement.downsampling(2)));
        same("blur:0.7,0.1", Samples.problem(Samples.blur()));
        try (TensorScope scope = TensorScope.open()) {
            // The right half of 4 x 4 pixels is hidden.
            same("inpaint:0,2,4,2,0.1", Samples.problem(Measurement.inpainting(Samples.leftHalf())));
        }
        assertEquals(RewardKind.ALL.size(), RewardSpec.forms().size());
    }

    @Test
    void sumsAreReadAndAreStandardised() throws IOException {
        same(
                "2*class:2@-4.1,1.2 + brightness@0.28,.1 + -1e-1*contrast",
                new WeightedSum(List.of(
                        new WeightedSum.Term(new ClassLogLikelihood(Samples.classifier(), 2), 2, -4.1, 1.2),
                        new WeightedSum.Term(ImageStatistic.brightness(), 1, 0.28, 0.1),
                        new WeightedSum.Term(ImageStatistic.contrast(), -0.1, 0, 1))));
        try (Reward negated = RewardSpec.parse("-1*brightness").open(RewardContext.of(Device.CPU))) {
            assertInstanceOf(WeightedSum.class, negated);
        }
        assertEquals("-1*brightness", RewardSpec.parse(" -1*brightness ").toString());
        assertRefused(() -> RewardSpec.parse("0*brightness"), "weight is 0");
        assertRefused(() -> RewardSpec.parse("brightness@1,0"), "standard deviation is 0");
        assertRefused(() -> RewardSpec.parse("brightness@1"), "brightness@1", "not known");
        assertRefused(() -> RewardSpec.parse("brightness + "), "not known");
    }

    @Test
    void aMixedSumClosesWhatItOpened() {
        RewardSpec mixed = RewardSpec.parse("linear:1,2 + brightness");
        assertRefused(() -> mixed.open(RewardContext.of(Device.CPU)), "takes states");
        RewardSpec later = RewardSpec.parse("linear:1,2 + class:1");
        assertRefused(() -> later.open(RewardContext.of(Device.CPU)), "class:1", "needs a classifier");
    }

    @Test
    void refusalsSayWhatIsAllowed() {
        assertRefused(() -> RewardSpec.parse("clas:3"), "'clas:3'", "did you mean 'class'?", "class:CLASS, mixture");
        assertRefused(() -> RewardSpec.parse(""), "brightness, contrast");
        assertRefused(() -> RewardSpec.parse("class"), "0 arguments", "the form is class:CLASS");
        assertRefused(() -> RewardSpec.parse("class:1,2"), "2 arguments");
        assertRefused(() -> RewardSpec.parse("class:shoe"), "CLASS is 'shoe'", "whole number of at least 0");
        assertRefused(() -> RewardSpec.parse("class:-1"), "CLASS is '-1'");
        assertRefused(() -> RewardSpec.parse("mixture:1,,2"), "weight 2 is ''", "finite number");
        assertRefused(() -> RewardSpec.parse("mixture:0,0"), "one above 0");
        assertRefused(() -> RewardSpec.parse("linear:NaN"), "A1 is 'NaN'");
        assertRefused(() -> RewardSpec.parse("linear-gaussian:1,2"), "3 or more");
        assertRefused(() -> RewardSpec.parse("brightness:1"), "1 arguments");
        assertRefused(() -> RewardSpec.parse("blur:1,0"), "SIGMA is 0.0", "above 0");
        assertRefused(() -> RewardSpec.parse("inpaint:0,0,4,0,1"), "WIDTH is '0'");
        assertRefused(() -> RewardSpec.parse("torchscript:"), "no argument");
    }

    @Test
    void whatTheContextLacksIsNamed() {
        RewardContext bare = RewardContext.of(Device.CPU);
        assertRefused(() -> RewardSpec.parse("mixture:1,2").open(bare), "'mixture:1,2'", "needs a classifier");
        assertRefused(() -> RewardSpec.parse("blur:1,1").open(bare), "needs an image");
        assertRefused(
                IOException.class,
                () -> RewardSpec.parse("torchscript:missing.pt").open(bare),
                "missing.pt");
        try (TensorScope scope = TensorScope.open()) {
            RewardContext given = context(Torch.zeros(1, 4, 6));
            assertRefused(() -> RewardSpec.parse("inpaint:0,0,5,1,1").open(given), "height 4 and width 6");
            assertRefused(() -> RewardSpec.parse("inpaint:0,0,4,6,1").open(given), "leaves a pixel");
            assertRefused(() -> RewardSpec.parse("downsample:4,1").open(given), "divides");
            assertRefused(() -> RewardSpec.parse("blur:1,1").open(context(Torch.zeros(4, 6))), "(C, H, W)");
        }
    }

    /** The same seed gives the same observation. */
    @Test
    void theNoiseComesFromTheSeed() throws IOException {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(9)) {
            Tensor image = random.uniform(1, 4, 4);
            RewardSpec spec = RewardSpec.parse("downsample:2,0.3");
            double[] scores = new double[3];
            for (int i = 0; i < 3; i++) {
                RewardContext context =
                        new RewardContext(Device.CPU, Optional.empty(), Optional.of(image), i == 2 ? 8 : 7);
                try (Reward reward = spec.open(context)) {
                    scores[i] =
                            reward.score(image.unsqueeze(0), Condition.none()).item();
                }
            }
            assertEquals(scores[0], scores[1]);
            assertEquals(0, scores[0] == scores[2] ? 1 : 0, "another seed gives other noise");
        }
    }
}
