package org.metaflowmaps.steering.evaluation;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.Workers;
import org.metaflowmaps.steering.metric.Estimate;
import org.metaflowmaps.steering.metric.FeatureMoments;
import org.metaflowmaps.steering.metric.FrechetDistance;
import org.metaflowmaps.steering.metric.GaussianStatistics;

/** Moments of features in groups, for the jackknife's standard error of a Fréchet distance. Not thread-safe. */
final class GroupedMoments {
    /** 2^64 divided by the golden ratio. */
    private static final long STRIDE = 0x9e3779b97f4a7c15L;

    private final List<FeatureMoments> groups = new ArrayList<>();
    private long count;

    /**
     * Makes empty moments.
     *
     * @param width numbers per feature vector
     * @param groups at least 1; 1 for no standard error
     */
    GroupedMoments(int width, int groups) {
        IntStream.range(0, groups).forEach(i -> this.groups.add(new FeatureMoments(width)));
    }

    /** Adds features (B, width). On the CPU the groups are shared out over threads. */
    void add(Tensor features) {
        List<Runnable> tasks = new ArrayList<>();
        for (int i = 0; i < groups.size(); i++) {
            int turn = i;
            long[] members = LongStream.range(0, features.size(0))
                    .filter(row -> group(count + row) == turn)
                    .toArray();
            if (members.length > 0) {
                tasks.add(() -> add(groups.get(turn), features, members));
            }
        }
        if (features.device().type() == Device.Type.CPU) {
            Workers.run(tasks);
        } else {
            tasks.forEach(Runnable::run);
        }
        count += features.size(0);
    }

    private static void add(FeatureMoments group, Tensor features, long[] members) {
        try (TensorScope scope = TensorScope.open()) {
            group.add(features.indexSelect(0, Torch.of(members).to(features.device())));
        }
    }

    /** Returns the group of an image, not in turn: labels in turn would give groups of one class. */
    private int group(long image) {
        return (int) (((image * STRIDE) >>> 33) % groups.size());
    }

    /** Returns the numbers per feature vector. */
    int width() {
        return groups.getFirst().width();
    }

    /** Returns mean and covariance of all features. */
    GaussianStatistics gaussian() {
        return merged(-1).statistics();
    }

    /** Returns the Fréchet distance to a reference, with the jackknife's standard error, NaN for one group. */
    Estimate frechet(GaussianStatistics reference) {
        FrechetDistance distance = new FrechetDistance(reference);
        // Each group needs at least two others' images for a covariance.
        boolean enough = groups.size() > 1 && count >= 2L * groups.size();
        double[] without = enough
                ? IntStream.range(0, groups.size())
                        .mapToDouble(i -> distance.to(merged(i).statistics()))
                        .toArray()
                : new double[0];
        return Estimate.jackknife(distance.to(gaussian()), without, count);
    }

    private FeatureMoments merged(int omitted) {
        if (groups.size() == 1) {
            return groups.getFirst();
        }
        FeatureMoments all = new FeatureMoments(groups.getFirst().width());
        for (int i = 0; i < groups.size(); i++) {
            if (i != omitted) {
                all.add(groups.get(i));
            }
        }
        return all;
    }
}
