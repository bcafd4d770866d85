package org.metaflowmaps.training;

import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.LinearInterpolant;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.config.TimesConfig;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.loss.Pair;

/** Draws the inputs of the losses (method §4.1). All noise is fresh; context and path share the data. */
final class PairSampler {
    /** As t approaches 1 the drift at s = 1 diverges, so context times are capped (method §3.2). */
    private static final double LATEST_CONTEXT = 1 - 1e-3;

    private final TimesConfig times;
    private final double labelDrop;
    private final double guidance;
    private final RandomSource random;

    PairSampler(TimesConfig times, double labelDrop, double guidance, RandomSource random) {
        this.times = times;
        this.labelDrop = labelDrop;
        this.guidance = guidance;
        this.random = random;
    }

    /**
     * Draws contexts t, x_t = I_t for a batch, t up to {@value #LATEST_CONTEXT}. Some items lose their labels; labelled
     * items have the guidance scale, others 1. A map without contexts gets an empty context.
     */
    Context context(TrainingData.Batch batch, MetaFlowMap map, long step) {
        try (TensorScope scope = TensorScope.open()) {
            long size = batch.items().size(0);
            Context context;
            if (map.isContextual()) {
                Tensor time = random.uniform(size).pow(times.contextPower()).clampMax(LATEST_CONTEXT);
                time = time.mul(random.uniform(size).ge(times.contextAtom()).to(DType.FLOAT32))
                        .mul(grown(step, times.contextWarmUp()));
                context = Context.unchecked(
                        time,
                        LinearInterpolant.state(random.normal(batch.items().shape()), batch.items(), time),
                        Condition.none());
            } else {
                context = Context.unconditional(batch.items(), Condition.none());
            }
            Condition condition = Condition.none();
            if (map.classes() > 0) {
                Tensor dropped = random.uniform(size).lt(labelDrop);
                condition = Condition.labelled(Torch.where(
                        dropped, Torch.full(map.classes(), DType.INT64, random.device(), size), batch.labels()));
                if (guidance != 1) {
                    condition = condition.guided(guidance, map.classes());
                }
            }
            return Context.unchecked(context.time(), context.state(), condition).keptFrom(scope);
        }
    }

    /** Draws points of the diagonal. */
    Pair diagonal(TrainingData.Batch batch, Context context) {
        Tensor start =
                draw(times.diagonal(), times.diagonal().mean(), batch.items().size(0));
        return new Pair(
                start, start, null, random.normal(batch.items().shape()), batch.items(), context, batch.weights());
    }

    /** Draws jumps from s to u with a uniform fraction. */
    Pair jump(TrainingData.Batch batch, Context context, long step) {
        long size = batch.items().size(0);
        Ends ends = ends(size, step);
        return new Pair(
                ends.start,
                ends.end,
                random.uniform(size),
                random.normal(batch.items().shape()),
                batch.items(),
                context,
                batch.weights());
    }

    /** s and u. */
    private record Ends(Tensor start, Tensor end) {}

    private Ends ends(long size, long step) {
        try (TensorScope scope = TensorScope.open()) {
            TimesConfig.Law law = times.pair();
            Tensor start;
            Tensor end;
            if (law.kind() == TimesConfig.LawKind.DYADIC) {
                // A jump of 2^k grid intervals begins at a multiple of its length.
                Tensor length = random.integers(1, law.levels() + 1L, size)
                        .to(DType.FLOAT32)
                        .sub(law.levels())
                        .mul(Math.log(2))
                        .exp();
                start = random.uniform(size).div(length).floor().mul(length);
                end = start.add(length).clampMax(1);
            } else {
                Tensor one = draw(law, law.mean(), size);
                Tensor other = draw(law, law.secondMean(), size);
                start = one.minimum(other);
                end = one.maximum(other);
            }
            double grown = grown(step, times.intervalWarmUp());
            if (grown < 1) {
                Tensor cut = end.sub(start).mul((1 - grown) / 2);
                start = start.add(cut);
                end = end.sub(cut);
            }
            return new Ends(scope.keep(start), scope.keep(end));
        }
    }

    private Tensor draw(TimesConfig.Law law, double mean, long size) {
        return law.kind() == TimesConfig.LawKind.LOGIT_NORMAL
                ? random.normal(size).mul(law.std()).add(mean).sigmoid()
                : random.uniform(size);
    }

    private static double grown(long step, long steps) {
        return step >= steps ? 1 : (double) step / steps;
    }
}
