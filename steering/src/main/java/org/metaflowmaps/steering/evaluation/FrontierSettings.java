package org.metaflowmaps.steering.evaluation;

import com.google.common.base.Preconditions;
import java.util.List;

/**
 * The settings that all results of a {@link SteeringFrontier} share. {@link FrontierFile} refuses results of others.
 *
 * @param images samples of each method, except for those without steering; at least 2
 * @param steps K of the steered samplers, the greedy search and the particle filter; at least 1
 * @param strength λ, above 0
 * @param particleDraws posterior draws of each state in searches and the particle filter, at least 1
 * @param pool samples without steering, from which best-of-N is estimated; at least {@code images}
 * @param weights w of the classes: one for each, none negative
 * @param seed of the noise
 * @param networks identifies the map, the reward's classifier and the judge
 * @param machine identifies what the seconds depend on, such as the number of threads
 */
public record FrontierSettings(
        int images,
        int steps,
        double strength,
        int particleDraws,
        int pool,
        List<Double> weights,
        long seed,
        String networks,
        String machine) {
    /** The weights of the paper's experiment on MNIST. */
    public static final List<Double> PAPER_WEIGHTS = List.of(0.0, 1.0, 0.0, 1.0, 0.0, 2.0, 0.0, 2.0, 0.0, 4.0);

    private static final int MOST = 10_000_000;

    /** Checks the ranges. */
    public FrontierSettings {
        range("images", images, 2);
        range("steps", steps, 1);
        range("draws of a particle", particleDraws, 1);
        range("samples in the pool", pool, images);
        Preconditions.checkArgument(
                strength > 0 && Double.isFinite(strength),
                "frontier: lambda is %s, expected a finite number above 0",
                strength);
        weights = List.copyOf(weights);
        double total = weights.stream().mapToDouble(Double::doubleValue).sum();
        Preconditions.checkArgument(
                total > 0 && Double.isFinite(total) && weights.stream().allMatch(weight -> weight >= 0),
                "frontier: weights are %s, expected finite numbers from 0, one for each class, and one above 0",
                weights);
        Preconditions.checkNotNull(networks, "frontier: the networks' text is null");
        Preconditions.checkNotNull(machine, "frontier: the machine's text is null");
    }

    private static void range(String what, int given, int least) {
        Preconditions.checkArgument(
                given >= least && given <= MOST, "frontier: %s %s, expected %s to %s", given, what, least, MOST);
    }

    /** Returns w with a sum of 1. */
    double[] target() {
        double total = weights.stream().mapToDouble(Double::doubleValue).sum();
        return weights.stream().mapToDouble(weight -> weight / total).toArray();
    }
}
