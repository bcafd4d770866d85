package org.metaflowmaps.training.plan;

import org.metaflowmaps.models.model.Layout;
import org.metaflowmaps.models.model.MlpConfig;
import org.metaflowmaps.models.model.NetworkConfig;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.Precision;
import org.metaflowmaps.training.config.TimesConfig;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.config.WeightingConfig;

/**
 * Launches of a step around its network evaluations: draws, weightings, optimiser, average. Counted on the pretend device
 * (docs/gpu.md), as differences between steps with and without a setting; a few kernels may be missing.
 */
final class StepLaunches {
    private StepLaunches() {}

    /** Launches of a whole step. */
    static Launches of(TrainConfig config, NetworkCost cost, NetworkCost teacher) {
        LossConfig loss = config.loss();
        Launches pass = loss(config, loss.diagonal(), LossPasses.diagonal(config), cost, teacher)
                .plus(loss(config, loss.consistencyWeighting(), LossPasses.consistency(config), cost, teacher))
                .plus(kernels(draws(config) + terms(loss)));
        return update(config).plus(pass.times(config.accumulate()));
    }

    private static Launches kernels(int count) {
        return new Launches(count, 0, 0);
    }

    /** Zero gradients, norm, skip flag, and the kernel of optimiser and average; conversions of all weights. */
    private static Launches update(TrainConfig config) {
        LossConfig loss = config.loss();
        int conversions = config.precision() != Precision.BFLOAT16 ? 0 : loss.needsAverage() ? 2 : 1;
        int learned = (isLearned(loss.diagonal()) ? 1 : 0) + (isLearned(loss.consistencyWeighting()) ? 1 : 0);
        return new Launches(23 + conversions + 11 * learned, 0, 1);
    }

    private static boolean isLearned(WeightingConfig weighting) {
        return switch (weighting.kind()) {
            case LEARNED, LEARNED_LOG -> true;
            case L2, LV, ADAPTIVE -> false;
        };
    }

    /** Of contexts and scales, and of laws that differ from those with which the evaluations were counted. */
    private static int draws(TrainConfig config) {
        TimesConfig times = config.times();
        int diagonal = times.diagonal().kind() == TimesConfig.LawKind.LOGIT_NORMAL ? 0 : -3;
        boolean jumps = config.loss().consistency() != LossConfig.ConsistencyKind.NONE;
        return diagonal
                + (jumps && times.pair().kind() == TimesConfig.LawKind.LOGIT_NORMAL ? 6 : 0)
                + (config.guidance() == 1 ? 0 : 4)
                + (isContextual(config) ? 8 : 0);
    }

    /** What joins the evaluations of two jumps. */
    private static int terms(LossConfig loss) {
        return switch (loss.consistency()) {
            case SEMIGROUP -> 10;
            case PSD, SHORTCUT -> 4;
            default -> 0;
        };
    }

    /** Returns the velocity's own kernels for one loss, besides its evaluations. */
    private static int velocity(TrainConfig config, LossPasses passes) {
        boolean used = passes.equals(LossPasses.diagonal(config))
                || switch (config.loss().consistency()) {
                    case MEAN_FLOW, ALPHA_FLOW, IMPROVED_MEAN_FLOW -> true;
                    default -> false;
                };
        boolean guided = config.loss().velocity() == LossConfig.VelocityKind.GUIDED;
        return used && guided ? (isContextual(config) ? 4 : 12) : 0;
    }

    private static Launches loss(
            TrainConfig config, WeightingConfig weighting, LossPasses passes, NetworkCost cost, NetworkCost teacher) {
        if (passes.isEmpty()) {
            return Launches.NONE;
        }
        Launches sum = cost.launches(passes).plus(weighting(weighting)).plus(kernels(velocity(config, passes)));
        if (passes.teacher() > 0) {
            // The conversion of the network's drift to a conditional one, and classifier-free guidance.
            sum = sum.plus(teacher.silent().times(passes.teacher())).plus(kernels(passes.teacher() > 1 ? 56 : 51));
        }
        return config.accumulate() > 1 ? sum.plus(kernels(2)) : sum;
    }

    private static boolean isContextual(TrainConfig config) {
        NetworkConfig network = config.model().network();
        return switch (network) {
            case TransformerConfig transformer -> transformer.layout() == Layout.META_FLOW_MAP;
            case MlpConfig mlp -> mlp.layout() == Layout.META_FLOW_MAP;
        };
    }

    /** What a weighting launches besides the mean of squares. */
    private static Launches weighting(WeightingConfig weighting) {
        return switch (weighting.kind()) {
            case L2 -> Launches.NONE;
            case LV -> kernels(5);
            case ADAPTIVE -> kernels(3);
            case LEARNED -> new Launches(36, 5, 0);
            case LEARNED_LOG -> new Launches(39, 5, 0);
        };
    }
}
