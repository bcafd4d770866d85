package org.metaflowmaps.steering.reward;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.Arrays;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** One fake reward for each fault. */
final class RewardProbeTest {
    private final long live = NativeMemory.liveTensors();

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    private record Fake(UnaryOperator<Tensor> function, boolean isDifferentiable) implements Reward {
        @Override
        public String name() {
            return "fake";
        }

        @Override
        public Tensor score(Tensor samples, Condition condition) {
            try (TensorScope scope = TensorScope.open()) {
                return scope.keep(function.apply(samples));
            }
        }
    }

    private static Tensor mean(Tensor images) {
        return images.mean(1, 2, 3);
    }

    private static void check(UnaryOperator<Tensor> function, boolean differentiable) {
        try (TensorScope scope = TensorScope.open()) {
            RewardProbe.check(
                    new Fake(function, differentiable), Samples.images(3, 1).to(DType.FLOAT32), Condition.none());
        }
    }

    private static void refused(String rule, UnaryOperator<Tensor> function) {
        assertRefused(RewardException.class, () -> check(function, true), "'fake'", rule);
    }

    @Test
    void rewardsThatKeepTheRulesPass() {
        check(RewardProbeTest::mean, true);
        check(images -> mean(images).detach(), false);
        // A constant reward has a graph and no slope.
        check(images -> mean(images).mul(0).add(3), true);
        // Negative infinity is allowed, and its gradient is not checked.
        check(images -> mean(images).mul(0).log(), true);
        check(images -> mean(images).mul(0).detach().log(), false);
        // Rounding within 1e-4 of the scores is not a fault.
        check(images -> mean(images).mul(1 + 1e-5 * images.size(0)), true);
    }

    @Test
    void aScoreThatDependsOnTheBatchIsCaught() {
        refused("each item by itself", images -> mean(images).sub(mean(images).mean()));
        refused("each item by itself", images -> mean(images).mul(1 + 1e-3 * images.size(0)));
        // The other item decides whether the score is infinite.
        refused(
                "each item by itself",
                images -> mean(images).div((double) images.size(0) - 1).neg());
    }

    @Test
    void halfPrecisionMayRoundMore() {
        UnaryOperator<Tensor> rough = images ->
                mean(images.to(DType.FLOAT32)).mul(1 + 4e-3 * images.size(0)).to(images.dtype());
        try (TensorScope scope = TensorScope.open()) {
            Tensor images = Samples.images(2, 1);
            RewardProbe.check(new Fake(rough, true), images.to(DType.BFLOAT16), Condition.none());
            assertRefused(
                    RewardException.class,
                    () -> RewardProbe.check(new Fake(rough, true), images, Condition.none()),
                    "each item by itself");
        }
    }

    @Test
    void anotherShapeOrTypeIsCaught() {
        refused("one score for each item", images -> images.meanKeepDim(1, 2, 3));
        refused("one score for each item", images -> mean(images).sum());
        refused("one score for each item", images -> mean(images).to(DType.FLOAT64));
    }

    @Test
    void illegalScoresAreCaught() {
        refused("no NaN and no +infinity", images -> mean(images).sub(2).sqrt());
        refused("no NaN and no +infinity", images -> mean(images).mul(0).log().neg());
    }

    @Test
    void aRewardThatChangesFromCallToCallIsCaught() {
        AtomicInteger calls = new AtomicInteger();
        refused("equal on three calls", images -> mean(images).add(calls.incrementAndGet()));
        AtomicInteger late = new AtomicInteger();
        refused("equal on three calls", images -> mean(images).add(late.incrementAndGet() > 2 ? 1 : 0));
    }

    @Test
    void samplesThatAreChangedInPlaceAreCaught() {
        refused("samples stay as they are", images -> {
            Tensor scores = mean(images).mul(0);
            images.mul_(0.5);
            return scores;
        });
    }

    @Test
    void aMissingGradientIsCaught() {
        refused("no gradient graph", images -> mean(images).detach());
        refused("does not reach the samples", images -> {
            Tensor other = Torch.zeros(1).requiresGrad_(true);
            return mean(images).detach().add(other.mul(1));
        });
        refused("has NaN or infinity", images -> mean(images).mul(0).sqrt());
    }

    @Test
    void aFailureNamesTheReward() {
        refused("failed on", images -> images.matmul(Torch.zeros(5, 5)));
    }

    @Test
    void otherSamplesAreRefused() {
        Reward reward = new Fake(RewardProbeTest::mean, true);
        try (TensorScope scope = TensorScope.open()) {
            Tensor images = Samples.images(2, 1);
            assertRefused(
                    () -> RewardProbe.check(reward, images.narrow(0, 0, 1), Condition.none()), "fake", "two items");
            assertRefused(() -> RewardProbe.check(reward, images.mul(2).sub(1), Condition.none()), "PixelDecoder");
            assertRefused(() -> RewardProbe.check(reward, images.to(DType.UINT8), Condition.none()), "floating");
            double[] before = images.toDoubleArray();
            RewardProbe.check(reward, images, Condition.none());
            assertEquals(Arrays.toString(before), Arrays.toString(images.toDoubleArray()));
        }
    }
}
