package org.metaflowmaps.steering.metric;

import com.google.common.base.Preconditions;
import java.util.Arrays;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;

/** Counts of samples by class, added batch by batch. On the Java heap; not thread-safe. */
public final class ClassHistogram {
    private static final int MOST = 1 << 20;

    private final long[] counts;

    /**
     * Makes an empty histogram.
     *
     * @param classes 1 to 1,048,576
     */
    public ClassHistogram(int classes) {
        Preconditions.checkArgument(
                classes >= 1 && classes <= MOST, "class histogram: %s classes, expected 1 to %s", classes, MOST);
        this.counts = new long[classes];
    }

    /**
     * Adds a batch.
     *
     * @param labels (B) int64, each from 0 to below the number of classes; only read
     * @throws IllegalArgumentException if a label is out of range
     */
    public void add(Tensor labels) {
        Preconditions.checkArgument(
                labels.dim() == 1 && labels.dtype() == DType.INT64,
                "class histogram: labels are %s, expected int64 of a shape of (B)",
                labels);
        long[] values = labels.toLongArray();
        for (long label : values) {
            Preconditions.checkArgument(
                    label >= 0 && label < counts.length,
                    "class histogram: a label is %s, expected 0 to below %s",
                    label,
                    counts.length);
        }
        for (long label : values) {
            counts[(int) label]++;
        }
    }

    /** Returns the number of samples. */
    public long count() {
        return Arrays.stream(counts).sum();
    }

    /** Returns the samples of each class, in a new array. */
    public long[] counts() {
        return counts.clone();
    }

    /**
     * Returns the share of a class, with its binomial standard error.
     *
     * @param label the class
     * @throws IndexOutOfBoundsException if there is no such class
     * @throws IllegalStateException if no sample was added
     */
    public Estimate share(int label) {
        double share = shares()[Preconditions.checkElementIndex(label, counts.length, "class")];
        return new Estimate(share, Math.sqrt(share * (1 - share) / count()), count());
    }

    private double[] shares() {
        long total = count();
        if (total == 0) {
            throw new IllegalStateException("class histogram: there are no samples: add some first");
        }
        return Arrays.stream(counts)
                .mapToDouble(count -> (double) count / total)
                .toArray();
    }

    private double[] normalised(double[] weights) {
        double sum = Arrays.stream(weights).sum();
        Preconditions.checkArgument(
                weights.length == counts.length
                        && Arrays.stream(weights).allMatch(weight -> weight >= 0)
                        && sum > 0
                        && Double.isFinite(sum),
                "class histogram: weights are %s, expected %s finite numbers from 0, one above 0",
                Arrays.toString(weights),
                counts.length);
        return Arrays.stream(weights).map(weight -> weight / sum).toArray();
    }

    /**
     * Returns the Euclidean distance of the shares to a law.
     *
     * <p>The standard error is that of the delta method; it is 0 for the distance 0. Samples of the law itself have a
     * mean squared distance of {@link #floor} squared.
     *
     * @param weights of the classes, in any unit: their sum is scaled to 1
     * @throws IllegalStateException if no sample was added
     */
    public Estimate distance(double[] weights) {
        double[] law = normalised(weights);
        double[] share = shares();
        double squares = 0;
        double mean = 0;
        double second = 0;
        for (int i = 0; i < law.length; i++) {
            double difference = share[i] - law[i];
            squares += difference * difference;
            mean += share[i] * difference;
            second += share[i] * difference * difference;
        }
        double distance = Math.sqrt(squares);
        double variance = squares == 0 ? 0 : Math.max(0, second - mean * mean) / squares;
        return new Estimate(distance, Math.sqrt(variance / count()), count());
    }

    /**
     * Returns the root of the mean squared distance of as many samples of a law to that law: √((1 - Σw²) / n).
     *
     * @param weights of the classes, in any unit
     * @throws IllegalStateException if no sample was added
     */
    public double floor(double[] weights) {
        double[] law = normalised(weights);
        shares();
        return Math.sqrt((1 - Arrays.stream(law).map(weight -> weight * weight).sum()) / count());
    }
}
