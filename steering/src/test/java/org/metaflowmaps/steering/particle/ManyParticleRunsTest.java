package org.metaflowmaps.steering.particle;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.mixture.LinearGaussianReward;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.value.ValueFunction;

/** Checks of {@link ParticleFilterTest} with the runs that 1 % takes, and figures for the manual. */
@Tag("soak")
final class ManyParticleRunsTest {
    @Test
    void theNormaliserIsWithinOnePercent() {
        try (MixtureFilter mixture = new MixtureFilter()) {
            for (double threshold : ParticleFilterTest.THRESHOLDS) {
                ParticleFilterTest.check(mixture.filter(threshold, Tempering.NONE), 2000, 0, "threshold " + threshold);
            }
        }
    }

    /**
     * At λ = 1 few draws are not enough: Ẑ is unbiased, but so heavy-tailed that its mean over some runs is far below Z. Prints Ẑ/Z for
     * numbers of draws.
     */
    @Test
    void fewDrawsAreNotEnoughForASharpReward() {
        LinearGaussianReward reward = new LinearGaussianReward(new double[] {1.2, -0.8}, -1, 0.2);
        try (MixtureFilter mixture = new MixtureFilter();
                TensorScope scope = TensorScope.open()) {
            double exact = Math.exp(
                    reward.value(mixture.data, Torch.of(new double[] {0}), Torch.zeros(DType.FLOAT64, Device.CPU, 1, 2))
                            .item());
            for (int draws : new int[] {1, 2, 4, 8, 16, 32}) {
                ParticleFilter filter = new ParticleFilter(
                        Potential.of(new ValueFunction(mixture.map, mixture.tilt.withStrength(1), draws)),
                        new Transition.PosteriorDraw(mixture.map),
                        TimeGrid.uniform(MixtureFilter.STEPS),
                        4096,
                        0.5);
                MixtureFilter.Summary found = MixtureFilter.runs(filter, 5, 20, 1);
                System.out.printf(
                        "lambda 1, M 4096, N %d, 20 runs: Z ratio %.3f (s.e. %.3f), shares %.3f %.3f %.3f%n",
                        draws,
                        found.mean() / exact,
                        found.error() / exact,
                        found.shares().get(0),
                        found.shares().get(1),
                        found.shares().get(2));
                if (draws >= 8) {
                    assertEquals(0.9, found.mean() / exact, 0.4);
                }
            }
        }
    }
}
