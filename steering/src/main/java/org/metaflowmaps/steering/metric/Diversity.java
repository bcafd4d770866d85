package org.metaflowmaps.steering.metric;

import com.google.common.base.Preconditions;
import java.util.Arrays;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * The mean squared distance of two samples of a class, over all pairs: twice the trace of the unbiased covariance of
 * their features. Samples are added batch by batch and not stored.
 *
 * <p>Each class has moments of 32 groups, to which its samples go in turn; the standard error is the
 * jackknife's over these groups. Memory: classes x 32 x width numbers. On the Java heap; not thread-safe.
 */
public final class Diversity {
    /** Groups of the jackknife; the relative error of the standard error is about one over the root of twice this. */
    private static final int GROUPS = 32;

    private static final long MOST = 1 << 27;

    private final int width;
    private final Group[][] groups;
    private final long[] counts;

    /** Count, mean, and sum of squared distances to the mean. */
    private static final class Group {
        private final double[] mean;
        private long count;
        private double scatter;

        Group(int width) {
            mean = new double[width];
        }

        void add(double[] values, int from) {
            count++;
            for (int i = 0; i < mean.length; i++) {
                double before = values[from + i] - mean[i];
                mean[i] += before / count;
                scatter += before * (values[from + i] - mean[i]);
            }
        }

        void add(Group other) {
            if (other.count == 0) {
                return;
            }
            long total = count + other.count;
            double between = (double) count * other.count / total;
            for (int i = 0; i < mean.length; i++) {
                double difference = other.mean[i] - mean[i];
                scatter += between * difference * difference;
                mean[i] += difference * other.count / total;
            }
            scatter += other.scatter;
            count = total;
        }

        double diversity() {
            return 2 * scatter / (count - 1);
        }
    }

    /**
     * Makes it without samples.
     *
     * @param classes at least 1
     * @param width numbers per feature vector, at least 1
     */
    public Diversity(int classes, int width) {
        Preconditions.checkArgument(
                classes >= 1 && width >= 1 && (long) classes * GROUPS <= MOST / width,
                "diversity: %s classes of features of width %s, expected at least 1 of each, and together at most %s",
                classes,
                width,
                MOST / GROUPS);
        this.width = width;
        this.groups = new Group[classes][GROUPS];
        for (Group[] row : groups) {
            Arrays.setAll(row, i -> new Group(width));
        }
        this.counts = new long[classes];
    }

    /**
     * Adds a batch.
     *
     * @param features (B, width) of any floating-point type and device; only read
     * @param labels (B) int64, each from 0 to below the number of classes
     * @throws IllegalArgumentException if a shape or a label is wrong, or a feature is not finite
     */
    public void add(Tensor features, Tensor labels) {
        Preconditions.checkArgument(
                features.dim() == 2
                        && features.size(1) == width
                        && labels.dim() == 1
                        && labels.size(0) == features.size(0)
                        && labels.dtype() == DType.INT64,
                "diversity: features are %s with labels %s, expected shapes of (B, %s) and (B) int64",
                features,
                labels,
                width);
        long[] classes = labels.toLongArray();
        for (long label : classes) {
            Preconditions.checkArgument(
                    label >= 0 && label < groups.length,
                    "diversity: a label is %s, expected 0 to below %s",
                    label,
                    groups.length);
        }
        double[] values;
        try (TensorScope scope = TensorScope.open()) {
            values = features.detach().to(DType.FLOAT64).toDoubleArray();
        }
        for (double value : values) {
            Preconditions.checkArgument(
                    Double.isFinite(value),
                    "diversity: a feature is not finite, so the images are not: the samples have diverged");
        }
        for (int i = 0; i < classes.length; i++) {
            int label = (int) classes[i];
            int turn = (int) (counts[label]++ % GROUPS);
            groups[label][turn].add(values, i * width);
        }
    }

    /** Returns the number of classes. */
    public int classes() {
        return groups.length;
    }

    /**
     * Returns the number of samples of a class.
     *
     * @throws IndexOutOfBoundsException if there is no such class
     */
    public long count(int label) {
        return counts[Preconditions.checkElementIndex(label, counts.length, "class")];
    }

    /**
     * Returns the mean squared distance of two samples of a class.
     *
     * @param label the class
     * @return with the standard error, NaN for fewer than three samples; all NaN for fewer than two
     * @throws IndexOutOfBoundsException if there is no such class
     */
    public Estimate of(int label) {
        long count = count(label);
        return Estimate.jackknife(without(label, -1), leftOut(label), count);
    }

    /**
     * Returns the mean over the classes of at least two samples.
     *
     * @return with the standard error from those of the classes, NaN if one has only two samples, and the number of
     *     their samples; NaN if there is no such class
     */
    public Estimate mean() {
        double sum = 0;
        double variance = 0;
        long samples = 0;
        int used = 0;
        for (int label = 0; label < groups.length; label++) {
            if (counts[label] >= 2) {
                Estimate one = of(label);
                sum += one.value();
                variance += one.standardError() * one.standardError();
                samples += one.count();
                used++;
            }
        }
        return used == 0
                ? new Estimate(Double.NaN, Double.NaN, 0)
                : new Estimate(sum / used, Math.sqrt(variance) / used, samples);
    }

    private double[] leftOut(int label) {
        int used = (int) Math.min(GROUPS, counts[label]);
        double[] results = new double[used < 3 ? 0 : used];
        for (int i = 0; i < results.length; i++) {
            results[i] = without(label, i);
        }
        return results;
    }

    private double without(int label, int omitted) {
        Group all = new Group(width);
        for (int i = 0; i < Math.min(GROUPS, counts[label]); i++) {
            if (i != omitted) {
                all.add(groups[label][i]);
            }
        }
        return all.count < 2 ? Double.NaN : all.diversity();
    }
}
