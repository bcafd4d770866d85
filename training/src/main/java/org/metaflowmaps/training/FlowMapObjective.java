package org.metaflowmaps.training;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.drift.ConditionalDrift;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.config.WeightingConfig;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.loss.AlphaFlow;
import org.metaflowmaps.training.loss.Consistency;
import org.metaflowmaps.training.loss.Diagonal;
import org.metaflowmaps.training.loss.Draw;
import org.metaflowmaps.training.loss.LossValue;
import org.metaflowmaps.training.loss.Pair;
import org.metaflowmaps.training.loss.TimeWeight;
import org.metaflowmaps.training.loss.Velocity;
import org.metaflowmaps.training.loss.Weighting;

/** A diagonal and a consistency loss of a map, with teacher, averaged map and draws. */
final class FlowMapObjective implements SplitObjective<Draw>, GraphObjective<Draw>, LossConfig.Parts {
    /** The diagonal loss's name among the metrics. */
    static final String DIAGONAL = "diagonal";

    /** The consistency loss's name among the metrics. */
    static final String CONSISTENCY = "consistency";

    private final LossConfig config;
    private final MetaFlowMap map;
    private final @Nullable ConditionalDrift teacher;
    private final @Nullable MetaFlowMap averaged;
    private final List<TimeWeight> learned = new ArrayList<>();
    private final Velocity velocity;
    private final Weighting diagonalWeighting;
    private final Weighting consistencyWeighting;
    private final PairSampler sampler;
    private final RandomSource random;
    private final boolean original;

    /**
     * Makes the objective of a configuration.
     *
     * @param map the map to train, not owned
     * @param averaged the map with averaged weights, not owned
     * @param teacher null if no loss needs one
     * @param random draws the learned weightings' first values and all samples, not owned
     */
    FlowMapObjective(
            TrainConfig config,
            MetaFlowMap map,
            MetaFlowMap averaged,
            @Nullable ConditionalDrift teacher,
            RandomSource random) {
        this.config = config.loss();
        this.map = map;
        this.teacher = teacher;
        this.random = random;
        this.velocity = switch (config.loss().velocity()) {
            case DATA -> new Velocity.Data();
            case GUIDED -> new Velocity.Guided(config.guidanceFrom());
            case TEACHER -> teacher();
        };
        this.averaged = config.loss().needsAverage() ? averaged : null;
        this.diagonalWeighting = weighting(config.loss().diagonal(), random);
        this.consistencyWeighting = weighting(config.loss().consistencyWeighting(), random);
        this.sampler = new PairSampler(config.times(), config.labelDrop(), config.guidance(), random);
        this.original = true;
    }

    private FlowMapObjective(FlowMapObjective of) {
        this.config = of.config;
        this.map = of.map.replica();
        this.teacher = of.teacher;
        this.averaged = of.averaged;
        this.velocity = of.velocity;
        this.diagonalWeighting = replica(of.diagonalWeighting);
        this.consistencyWeighting = replica(of.consistencyWeighting);
        this.sampler = of.sampler;
        this.random = of.random;
        this.original = false;
    }

    private Weighting replica(Weighting weighting) {
        return switch (weighting) {
            case Weighting.Learned(TimeWeight weight) -> new Weighting.Learned(replica(weight));
            case Weighting.LearnedLogarithm(TimeWeight weight, double c) ->
                new Weighting.LearnedLogarithm(replica(weight), c);
            default -> weighting;
        };
    }

    private TimeWeight replica(TimeWeight weight) {
        TimeWeight replica = weight.replica();
        learned.add(replica);
        return replica;
    }

    @Override
    public FlowMapObjective replica() {
        return new FlowMapObjective(this);
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

    @Override
    public Velocity velocity() {
        return velocity;
    }

    @Override
    public Velocity.Field teacher() {
        if (teacher == null) {
            throw new IllegalArgumentException("config: a loss needs a teacher, and none was given");
        }
        return new Velocity.Taught(teacher);
    }

    @Override
    public MetaFlowMap average() {
        if (averaged == null) {
            throw new IllegalStateException("this loss needs the moving average, but loss.consistency does not use it");
        }
        return averaged;
    }

    /**
     * Returns whether gradients from this step on differ from version 1 of the losses, whose alpha-flow loss was the
     * error against τ times 1/α. Under l2, and for α of 0 and 1, the gradients are equal.
     */
    static boolean alphaFlowChanged(LossConfig config, long step) {
        WeightingConfig weighting = config.consistencyWeighting();
        boolean linear = weighting.kind() == WeightingConfig.Kind.L2
                || (weighting.kind() == WeightingConfig.Kind.ADAPTIVE && weighting.p() == 0);
        return config.consistency() == LossConfig.ConsistencyKind.ALPHA_FLOW
                && !linear
                && config.alphaFrom() < config.alphaTo()
                && config.alpha(Math.max(step, config.diagonalOnly())) > 0;
    }

    /** Returns the map's parameters, then those of learned weightings. */
    @Override
    public List<ParameterArena> parameters() {
        return Stream.concat(Stream.of(map.parameters()), learned.stream().map(TimeWeight::parameters))
                .toList();
    }

    @Override
    public List<ParameterArena> evaluated() {
        return averaged == null ? List.of(map.parameters()) : List.of(map.parameters(), averaged.parameters());
    }

    @Override
    public List<RandomSource> randomSources() {
        return List.of(random);
    }

    @Override
    public Draw draw(TrainingData.Batch batch, long step) {
        Context context = sampler.context(batch, map, step);
        Pair diagonal = sampler.diagonal(batch, context);
        if (config.consistency(this, step) == null) {
            return new Draw(step, diagonal, null);
        }
        long share =
                Math.max(1, Math.round(config.consistencyShare() * batch.items().size(0)));
        Pair jump = sampler.jump(batch.first(share), context.first(share), step);
        double alpha = config.alpha(step);
        if (usesAlpha() && alpha > 0 && alpha < 1) {
            jump = jump.withAlpha(Torch.full(alpha, DType.FLOAT32, batch.items().device()));
        }
        return new Draw(step, diagonal, jump);
    }

    @Override
    public long items(Draw draw) {
        return draw.items();
    }

    @Override
    public Draw map(Draw draw, UnaryOperator<Tensor> change) {
        return draw.map(change);
    }

    @Override
    public Object phase(Draw draw) {
        // Between its ends alpha is a tensor of the draw.
        return new Phase(
                draw.jump() != null,
                usesAlpha() ? Optional.of(AlphaFlow.Stage.of(config.alpha(draw.step()))) : Optional.empty());
    }

    private boolean usesAlpha() {
        return config.consistency() == LossConfig.ConsistencyKind.ALPHA_FLOW;
    }

    /** What the losses depend on besides the draw's tensors. */
    private record Phase(boolean jumps, Optional<AlphaFlow.Stage> stage) {}

    @Override
    public Draw slice(Draw draw, long from, long to) {
        return draw.slice(from, to);
    }

    @Override
    public List<Loss> losses(Draw part, Draw whole) {
        Pair point = part.diagonal();
        double share = (double) part.items() / whole.items();
        Loss diagonal = new Loss(
                DIAGONAL,
                () -> diagonalWeighting
                        .apply(Diagonal.of(map, point, velocity), point)
                        .mul(share));
        Pair jump = part.jump();
        Pair jumps = whole.jump();
        Consistency consistency = config.consistency(this, whole.step());
        if (jump == null || jumps == null || consistency == null) {
            return List.of(diagonal);
        }
        double shareOfJumps = (double) jump.items() / jumps.items();
        return List.of(
                diagonal,
                new Loss(CONSISTENCY, () -> consistency(consistency, jump).mul(shareOfJumps)));
    }

    private LossValue consistency(Consistency consistency, Pair jump) {
        LossValue value = consistencyWeighting.apply(consistency.of(map, jump), jump);
        return new LossValue(value.loss().mul(config.consistencyFactor()), value.error());
    }

    @Override
    public void close() {
        learned.forEach(TimeWeight::close);
        if (!original) {
            map.close();
        }
    }
}
