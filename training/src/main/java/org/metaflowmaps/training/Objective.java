package org.metaflowmaps.training;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.drift.ConditionalDrift;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.config.WeightingConfig;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.loss.AlphaFlow;
import org.metaflowmaps.training.loss.Consistency;
import org.metaflowmaps.training.loss.Diagonal;
import org.metaflowmaps.training.loss.Eulerian;
import org.metaflowmaps.training.loss.ImprovedMeanFlow;
import org.metaflowmaps.training.loss.Lagrangian;
import org.metaflowmaps.training.loss.Pair;
import org.metaflowmaps.training.loss.Progressive;
import org.metaflowmaps.training.loss.Regression;
import org.metaflowmaps.training.loss.Semigroup;
import org.metaflowmaps.training.loss.Shortcut;
import org.metaflowmaps.training.loss.TerminalVelocity;
import org.metaflowmaps.training.loss.TimeWeight;
import org.metaflowmaps.training.loss.Velocity;
import org.metaflowmaps.training.loss.Weighting;

/** A diagonal and a consistency loss, whose gradients add up, with what they need besides the map. */
final class Objective implements AutoCloseable {
    private final LossConfig config;
    private final @Nullable ConditionalDrift teacher;
    private final @Nullable MetaFlowMap averaged;
    private final List<TimeWeight> learned = new ArrayList<>();
    private final Velocity velocity;
    private final Weighting diagonalWeighting;
    private final Weighting consistencyWeighting;

    /**
     * What a configuration asks for.
     *
     * @param averaged the map with averaged weights, not owned
     * @param teacher null if no loss needs one
     * @param random where learned weightings are drawn
     */
    Objective(TrainConfig config, MetaFlowMap averaged, @Nullable ConditionalDrift teacher, RandomSource random) {
        this.config = config.loss();
        this.teacher = teacher;
        this.velocity = switch (config.loss().velocity()) {
            case DATA -> new Velocity.Data();
            case GUIDED -> new Velocity.Guided(config.guidanceFrom());
            case TEACHER -> taught();
        };
        this.averaged = needsAverage() ? averaged : null;
        this.diagonalWeighting = weighting(config.loss().diagonal(), random);
        this.consistencyWeighting = weighting(config.loss().consistencyWeighting(), random);
    }

    private boolean needsAverage() {
        return switch (config.consistency()) {
            case TERMINAL_VELOCITY -> true;
            case SEMIGROUP, PSD, SHORTCUT -> config.averaged();
            default -> false;
        };
    }

    private Weighting weighting(WeightingConfig weight, RandomSource random) {
        return switch (weight.kind()) {
            case L2 -> new Weighting.L2();
            case LV -> new Weighting.LogVariance();
            case ADAPTIVE -> new Weighting.Adaptive(weight.p(), weight.c());
            case LEARNED -> new Weighting.Learned(timeWeight(random));
            case LEARNED_LOG -> new Weighting.LearnedLogarithm(timeWeight(random), weight.c());
        };
    }

    private TimeWeight timeWeight(RandomSource random) {
        TimeWeight omega = new TimeWeight(random.device(), random);
        learned.add(omega);
        return omega;
    }

    private Velocity.Field taught() {
        if (teacher == null) {
            throw new IllegalArgumentException("config: a loss needs a teacher, and none was given");
        }
        return new Velocity.Taught(teacher);
    }

    /**
     * Whether a run from this step on would have had other gradients in version 1 of the losses, whose alpha-flow loss was the error against
     * τ times 1/α. Under l2 that is the same gradient, and so it is for α of 0 and 1.
     */
    static boolean alphaFlowChanged(LossConfig config, long step) {
        WeightingConfig weighting = config.consistencyWeighting();
        boolean linear = weighting.kind() == WeightingConfig.Kind.L2 || (weighting.kind() == WeightingConfig.Kind.ADAPTIVE && weighting.p() == 0);
        return config.consistency() == LossConfig.ConsistencyKind.ALPHA_FLOW && !linear && config.alphaFrom() < config.alphaTo()
                && AlphaFlow.scheduled(Math.max(step, config.diagonalOnly()), config.alphaFrom(), config.alphaTo()) > 0;
    }

    /** Returns the consistency loss of a step; null if the step has only the diagonal loss. */
    private @Nullable Consistency consistency(long step) {
        if (step < config.diagonalOnly()) {
            return null;
        }
        return switch (config.consistency()) {
            case NONE -> null;
            case SEMIGROUP -> new Semigroup(averaged);
            case PSD -> new Progressive(averaged);
            case SHORTCUT -> new Shortcut(averaged, config.clipTarget());
            case MEAN_FLOW -> new Eulerian(velocity);
            case IMPROVED_MEAN_FLOW -> new ImprovedMeanFlow(velocity);
            case EULERIAN -> new Eulerian(new Velocity.Own());
            case EULERIAN_TEACHER -> new Eulerian(taught());
            case LAGRANGIAN -> new Lagrangian(new Velocity.Own(), config.through());
            case LAGRANGIAN_TEACHER -> new Lagrangian(taught(), config.through());
            case TERMINAL_VELOCITY -> averaged == null ? null : new TerminalVelocity(averaged);
            case ALPHA_FLOW -> new AlphaFlow(velocity, AlphaFlow.scheduled(step, config.alphaFrom(), config.alphaTo()));
        };
    }

    /** Parameters that are trained beside the map's, those of learned weightings; owned by this object. */
    List<ParameterArena> parameters() {
        return learned.stream().map(TimeWeight::parameters).toList();
    }

    /** The diagonal loss of a batch in its contexts. */
    Weighting.Weighted diagonal(MetaFlowMap map, TrainingData.Batch batch, Context context, PairSampler sampler) {
        Pair point = sampler.diagonal(batch, context);
        return weigh(diagonalWeighting, Diagonal.of(map, point, velocity), point);
    }

    /** The consistency loss of the first items of a batch in their contexts, times its factor; null where it takes no part. */
    Weighting.@Nullable Weighted consistency(MetaFlowMap map, TrainingData.Batch batch, Context context, PairSampler sampler, long step) {
        Consistency consistency = consistency(step);
        if (consistency == null) {
            return null;
        }
        long share = Math.max(1, Math.round(config.consistencyShare() * batch.items().size(0)));
        Pair pair = sampler.jump(batch.first(share), context.first(share), step);
        Weighting.Weighted jump = weigh(consistencyWeighting, consistency.of(map, pair), pair);
        return new Weighting.Weighted(jump.loss().mul(config.consistencyFactor()), jump.raw());
    }

    private static Weighting.Weighted weigh(Weighting weighting, Regression regression, Pair pair) {
        Weighting.Weighted weighted = weighting.apply(regression, pair);
        if (!(weighting instanceof Weighting.Adaptive)) {
            return weighted;
        }
        // The adaptive loss is about 1 for any error, so its curve shows nothing: report the summed square.
        try (Autograd.Mode off = Autograd.noGrad()) {
            Tensor error = regression.prediction().sub(regression.target()).square().sum().div((double) regression.target().size(0));
            return new Weighting.Weighted(weighted.loss(), error);
        }
    }

    @Override
    public void close() {
        learned.forEach(TimeWeight::close);
    }
}
