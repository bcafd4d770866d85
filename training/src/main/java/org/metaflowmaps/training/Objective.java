package org.metaflowmaps.training;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.loss.Consistency;
import org.metaflowmaps.training.loss.Diagonal;
import org.metaflowmaps.training.loss.Regression;
import org.metaflowmaps.training.loss.Weighting;
import org.metaflowmaps.training.model.Context;
import org.metaflowmaps.training.model.MetaFlowMap;

/** The sum of a diagonal and a consistency loss. */
final class Objective {
    private final TrainConfig.Loss config;
    private final Weighting diagonalWeighting;
    private final Weighting consistencyWeighting;
    private final @Nullable Consistency consistency;

    Objective(TrainConfig.Loss config) {
        this.config = config;
        this.diagonalWeighting = config.diagonal().create();
        this.consistencyWeighting = config.consistencyWeighting().create();
        this.consistency = switch (config.consistency()) {
            case NONE -> null;
            case SEMIGROUP -> new Consistency.Semigroup();
            case MEAN_FLOW -> new Consistency.MeanFlow();
            case EULERIAN -> new Consistency.Eulerian();
            case LAGRANGIAN -> new Consistency.Lagrangian(Consistency.Through.DERIVATIVE);
        };
    }

    /**
     * The losses of one batch.
     *
     * @param total what is differentiated
     * @param diagonal the diagonal's plain error
     * @param consistency the consistency loss's plain error; null where it takes no part
     */
    record Losses(Tensor total, Tensor diagonal, @Nullable Tensor consistency) {}

    Losses of(MetaFlowMap map, TrainingData.Batch batch, PairSampler sampler, long step) {
        Context context = sampler.context(batch, map.classes());
        Weighting.Weighted diagonal = weigh(diagonalWeighting, Diagonal.of(map, sampler.diagonal(batch.items(), context)));
        if (consistency == null || step < config.diagonalOnly()) {
            return new Losses(diagonal.loss(), diagonal.raw(), null);
        }
        long share = Math.max(1, Math.round(config.consistencyShare() * batch.items().size(0)));
        Context part = first(context, share);
        Tensor data = batch.items().narrow(0, 0, share);
        Weighting.Weighted jump = weigh(consistencyWeighting, consistency.of(map, sampler.jump(data, part)));
        return new Losses(diagonal.loss().add(jump.loss()), diagonal.raw(), jump.raw());
    }

    private static Context first(Context context, long count) {
        Tensor labels = context.labels();
        return new Context(context.time().narrow(0, 0, count), context.state().narrow(0, 0, count),
                labels == null ? null : labels.narrow(0, 0, count), null);
    }

    private static Weighting.Weighted weigh(Weighting weighting, Regression regression) {
        Weighting.Weighted weighted = weighting.apply(regression.prediction(), regression.target());
        if (!(weighting instanceof Weighting.Adaptive)) {
            return weighted;
        }
        // The adaptive loss is about 1 for any error, and tells nothing over time: the summed square is what to look at.
        try (Autograd.Mode off = Autograd.noGrad()) {
            Tensor error = regression.prediction().sub(regression.target()).square().sum().div((double) regression.target().size(0));
            return new Weighting.Weighted(weighted.loss(), error);
        }
    }
}
