package org.metaflowmaps.steering.evaluation;

import com.google.common.base.Preconditions;
import java.util.Arrays;

/**
 * Values of noisy states, from each half of the draws. The halves are independent, so their differences show how much of
 * a value is chance.
 *
 * @param first log-mean-exp over the first half of the draws, one for each state, all finite
 * @param second over the second half, as many
 * @param evaluations network evaluations of each draw
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
public record Values(double[] first, double[] second, long evaluations) {
    /** Copies the values. */
    public Values {
        Preconditions.checkArgument(
                first.length == second.length && first.length > 0,
                "values: %s of the first half and %s of the second, expected as many of each, at least one",
                first.length,
                second.length);
        Preconditions.checkArgument(
                Arrays.stream(first).allMatch(Double::isFinite)
                        && Arrays.stream(second).allMatch(Double::isFinite),
                "values: %s and %s, expected finite numbers: use a reward that is finite for every sample",
                Arrays.toString(first),
                Arrays.toString(second));
        first = first.clone();
        second = second.clone();
    }

    @Override
    public double[] first() {
        return first.clone();
    }

    @Override
    public double[] second() {
        return second.clone();
    }

    /** Returns the values from all draws. */
    public double[] all() {
        double[] all = new double[first.length];
        Arrays.setAll(all, i -> {
            double high = Math.max(first[i], second[i]);
            return high + Math.log(0.5 * (Math.exp(first[i] - high) + Math.exp(second[i] - high)));
        });
        return all;
    }

    /** Returns the root mean square standard error of {@link #all}, from the differences of the halves. */
    public double chance() {
        double sum = 0;
        for (int i = 0; i < first.length; i++) {
            double apart = (first[i] - second[i]) / 2;
            sum += apart * apart;
        }
        return Math.sqrt(sum / first.length);
    }
}
