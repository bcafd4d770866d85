package org.metaflowmaps.training.plan;

import org.metaflowmaps.models.model.Layout;
import org.metaflowmaps.models.model.MlpConfig;
import org.metaflowmaps.models.model.NetworkConfig;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.OptimizerConfig;
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
                .plus(kernels(laws(config)));
        return update(config).plus(pass.times(config.accumulate()));
    }

    private static Launches kernels(int count) {
        return new Launches(count, 0, 0);
    }

    /** Zero gradients, norm, skip flag, update, average. */
    private static Launches update(TrainConfig config) {
        int radam = config.optimizer().kind() == OptimizerConfig.Kind.RADAM ? 41 : 0;
        int clip = config.optimizer().clip() > 0 ? 5 : 0;
        return new Launches(27 + radam + clip, 0, 2);
    }

    /** Of laws that differ from those with which the evaluations were counted. */
    private static int laws(TrainConfig config) {
        TimesConfig times = config.times();
        int diagonal = times.diagonal().kind() == TimesConfig.LawKind.LOGIT_NORMAL ? 0 : -3;
        boolean jumps = config.loss().consistency() != LossConfig.ConsistencyKind.NONE;
        return diagonal + (jumps && times.pair().kind() == TimesConfig.LawKind.LOGIT_NORMAL ? 6 : 0);
    }

    private static Launches loss(
            TrainConfig config, WeightingConfig weighting, LossPasses passes, NetworkCost cost, NetworkCost teacher) {
        if (passes.isEmpty()) {
            return Launches.NONE;
        }
        Launches sum = cost.launches(passes).plus(weighting(weighting));
        if (config.loss().velocity() == LossConfig.VelocityKind.GUIDED && passes.silent() > 0) {
            sum = sum.plus(kernels(isContextual(config) ? 17 : 12));
        }
        if (passes.teacher() > 0) {
            // The conversion of the network's drift to a conditional one, and classifier-free guidance.
            sum = sum.plus(teacher.frozen().times(passes.teacher())).plus(kernels(passes.teacher() > 1 ? 56 : 51));
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

    /** What a weighting launches besides the mean of squares, with the update of its weights. */
    private static Launches weighting(WeightingConfig weighting) {
        return switch (weighting.kind()) {
            case L2 -> Launches.NONE;
            case LV -> kernels(5);
            case ADAPTIVE -> kernels(3);
            case LEARNED -> new Launches(47, 5, 0);
            case LEARNED_LOG -> new Launches(50, 5, 0);
        };
    }
}
