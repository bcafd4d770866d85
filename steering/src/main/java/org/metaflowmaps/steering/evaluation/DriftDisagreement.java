package org.metaflowmaps.steering.evaluation;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.drift.DrawsDrift;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.drift.StartDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.PosteriorEvaluation;

/**
 * The differences between three ways to read the unconditional drift from a map, which agree for a perfect map (method
 * §3.5): at an empty context ({@link NetworkDrift}), at the start of the posterior's flow ({@link StartDrift}), and by
 * the mean of one-step draws ({@link DrawsDrift}).
 *
 * <p>All numbers are root mean squares over elements and items.
 *
 * @param time t
 * @param drift size of the first way's drift, for comparison
 * @param emptyToStart difference of the first and the second way
 * @param emptyToDraws difference of the first and the third way
 * @param startToDraws difference of the second and the third way
 * @param chance the third way's sampling error, which is its difference to the others for a perfect map
 */
public record DriftDisagreement(
        double time, double drift, double emptyToStart, double emptyToDraws, double startToDraws, double chance) {
    /** Items evaluated at once. */
    private static final int CHUNK = 64;

    /**
     * Compares the three ways at items noised to a time.
     *
     * @param map with contexts, not owned
     * @param items clean: (N, item shape), at least one
     * @param condition labels and guidance scales of the N items; not used by a map without classes
     * @param time t, in [0, 1)
     * @param draws draws of each item for the third way: an even number, at least 2
     * @param random draws all noise
     * @throws IllegalArgumentException if an argument is out of range
     */
    public static DriftDisagreement of(
            MetaFlowMap map, Tensor items, Condition condition, double time, int draws, RandomSource random) {
        Preconditions.checkArgument(
                map.isContextual(), "drift disagreement: this map works without contexts and has one drift only");
        Preconditions.checkArgument(
                time >= 0 && time < 1, "drift disagreement: time %s, expected at least 0 and below 1", time);
        Preconditions.checkArgument(
                draws >= 2 && draws % 2 == 0, "drift disagreement: %s draws, expected an even number from 2 on", draws);
        Preconditions.checkArgument(items.size(0) > 0, "drift disagreement: no items, expected at least one");
        double[] sums = new double[5];
        for (long from = 0; from < items.size(0); from += CHUNK) {
            long count = Math.min(CHUNK, items.size(0) - from);
            try (TensorScope scope = TensorScope.open();
                    Autograd.Mode off = Autograd.inference()) {
                Condition given = map.classes() == 0 ? Condition.none() : condition.slice(from, count);
                Context context = PosteriorEvaluation.noised(items.narrow(0, from, count), given, time, random);
                Tensor empty = at(new NetworkDrift(map), context);
                Tensor start =
                        at(new StartDrift(map, random.normal(context.state().shape())), context);
                // The difference between two halves of the draws estimates the error of their mean.
                Tensor half = at(new DrawsDrift(map, draws / 2, random), context);
                Tensor other = at(new DrawsDrift(map, draws / 2, random), context);
                Tensor mean = half.add(other).div(2);
                sums[0] += squares(empty);
                sums[1] += squares(empty.sub(start));
                sums[2] += squares(empty.sub(mean));
                sums[3] += squares(start.sub(mean));
                sums[4] += squares(half.sub(other).div(2));
            }
        }
        double elements = items.numel();
        return new DriftDisagreement(
                time,
                Math.sqrt(sums[0] / elements),
                Math.sqrt(sums[1] / elements),
                Math.sqrt(sums[2] / elements),
                Math.sqrt(sums[3] / elements),
                Math.sqrt(sums[4] / elements));
    }

    private static Tensor at(Drift drift, Context context) {
        return drift.at(context.time(), context.state(), context.condition());
    }

    private static double squares(Tensor values) {
        return values.square().sum().item();
    }
}
