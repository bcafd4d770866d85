package org.metaflowmaps.steering.finetune;

import com.google.common.base.Preconditions;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.BlockTape;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.training.GraphObjective;
import org.metaflowmaps.training.Loss;
import org.metaflowmaps.training.checkpoint.Saved;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.loss.LossValue;

/**
 * Fine-tunes a drift to that of the law tilted by e^{λr} (MFM-FT, arXiv 2601.14430 Eq. 43, method §9): a regression of
 * the student's v(t, t, x; 0, 0, y) on one posterior draw of the frozen base map.
 *
 * <p>A step costs one evaluation of the student with its backward pass, one of the base drift, and one posterior draw
 * and reward. If the form needs the reward's gradient, these two have a backward pass to x.
 *
 * <p>Thread safety: one thread at a time.
 */
public final class FineTuneObjective implements GraphObjective<FineTuneDraw> {
    /** The loss's name in the metrics. */
    public static final String NAME = "fine_tune";

    /**
     * The largest t, because a draw's velocity diverges at 1 and maps are trained with contexts up to this time (method
     * §3.2).
     */
    private static final double LATEST = 1 - 1e-3;

    private static final double MOST_HALF_VARIANCE = 1000;

    /** Added to t to keep 1/t finite, as in the public code. */
    private static final double EARLIEST = 1e-8;

    private final MetaFlowMap student;
    private final Drift base;
    private final MetaFlowMap draws;
    private final Tilt tilt;
    private final FineTuneLoss loss;
    private final RandomSource random;
    private final @Nullable RewardMonitor monitor;
    private final ShiftTable shifts;
    private final WeightSums sums;

    /**
     * Makes an objective before its first step. The caller keeps the arguments.
     *
     * @param student the trained map, with the base's weights at first
     * @param base b_t(x), frozen
     * @param draws the frozen map for one-step posterior draws, which are scored
     * @param tilt λ·r, with the final λ
     * @param loss the settings of the loss
     * @param random source of all draws, on the student's device
     * @param monitor lowers λ; null for none
     * @throws IllegalArgumentException if the maps do not fit each other, the draws' map has no contexts, or the reward
     *     has no gradient and the form needs one
     */
    public FineTuneObjective(
            MetaFlowMap student,
            Drift base,
            MetaFlowMap draws,
            Tilt tilt,
            FineTuneLoss loss,
            RandomSource random,
            @Nullable RewardMonitor monitor) {
        Preconditions.checkArgument(
                student.itemShape().equals(draws.itemShape()) && student.classes() == draws.classes(),
                "fine-tuning: the student takes items of shape %s with %s classes, the map of the draws %s with %s",
                student.itemShape(),
                student.classes(),
                draws.itemShape(),
                draws.classes());
        requireFit(draws, tilt, loss);
        this.student = student;
        this.base = Preconditions.checkNotNull(base, "fine-tuning: the base drift is null");
        this.draws = draws;
        this.tilt = tilt;
        this.loss = loss;
        this.random = Preconditions.checkNotNull(random, "fine-tuning: the random source is null");
        this.monitor = monitor;
        this.shifts = new ShiftTable(student.classes(), loss.window(), device());
        this.sums = new WeightSums(device());
    }

    /** Rejects a map or a reward that does not work with the form. */
    static void requireFit(MetaFlowMap draws, Tilt tilt, FineTuneLoss loss) {
        Preconditions.checkArgument(
                draws.isContextual() || loss.form() == FineTuneLoss.Form.REWARD_WEIGHTED,
                "fine-tuning: the map of the draws works without contexts and has no posteriors: use a meta flow map,"
                        + " or the form reward_weighted");
        Preconditions.checkArgument(
                tilt.reward().isDifferentiable() || !loss.form().needsGradient(),
                "fine-tuning: the reward %s has no gradient, which the form %s needs: use gradient_free",
                tilt.reward().name(),
                loss.form());
    }

    private Device device() {
        return student.parameters().values().device();
    }

    @Override
    public FineTuneDraw draw(TrainingData.Batch batch, long step) {
        return draw(batch, step, random);
    }

    private FineTuneDraw draw(TrainingData.Batch batch, long step, RandomSource source) {
        Tensor items = batch.items();
        long size = items.size(0);
        Tensor time = loss.timeDeviation() == 0
                ? source.uniform(size)
                : source.normal(size)
                        .mul(loss.timeDeviation())
                        .add(loss.timeMean())
                        .sigmoid();
        Tensor noise = source.normal(items.shape());
        Tensor posteriorNoise = source.normal(items.shape());
        Condition condition = Condition.none();
        if (student.classes() > 0) {
            Tensor dropped = source.uniform(size).lt(loss.labelDrop());
            Tensor none = Torch.full(student.classes(), DType.INT64, items.device(), size);
            condition = Condition.labelled(Torch.where(dropped, none, batch.labels()));
        }
        return new FineTuneDraw(
                step,
                time.clampMax(LATEST),
                noise,
                items,
                posteriorNoise,
                guided(condition, loss.guidance()),
                guided(condition, loss.drawGuidance()),
                batch.weights());
    }

    @Override
    public FineTuneDraw map(FineTuneDraw draw, UnaryOperator<Tensor> change) {
        Tensor weights = draw.weights();
        return new FineTuneDraw(
                draw.step(),
                change.apply(draw.time()),
                change.apply(draw.noise()),
                change.apply(draw.data()),
                change.apply(draw.posteriorNoise()),
                draw.condition().map(change),
                draw.drawCondition().map(change),
                weights == null ? null : change.apply(weights));
    }

    /** Each step is a phase while λ grows; all later steps are one. */
    @Override
    public Object phase(FineTuneDraw draw) {
        return Math.min(draw.step(), loss.anneal());
    }

    @Override
    public List<Loss> losses(FineTuneDraw draw) {
        return List.of(new Loss(NAME, () -> regress(draw)));
    }

    /**
     * The reward and gradient of one posterior draw per item.
     *
     * @param reward r: (B)
     * @param gradient ∇_x λr: (B, item shape); null if the form does not need it
     * @param sample Φ, or I_1 of the data: (B, item shape)
     */
    private record Scored(Tensor reward, @Nullable Tensor gradient, Tensor sample) {}

    private LossValue regress(FineTuneDraw draw) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor state = draw.state();
            Tensor labels = draw.condition().labels().orElse(null);
            Tensor strength = strength(draw.step());
            Scored scored = scored(draw, state, strength);
            Tensor scores = scored.reward.mul(strength.to(state.dtype()));
            Tensor shift = shifts.at(labels, state.size(0), strength);
            Tensor full = scores.to(DType.FLOAT64).sub(shift).exp();
            Tensor clipped = loss.weightClip() == 0 ? full : full.clampMax(loss.weightClip());
            Tensor weight = clipped.to(state.dtype());
            shifts.note(labels, scores, strength);

            Tensor drift;
            try (Autograd.Mode off = Autograd.noGrad()) {
                drift = base.at(draw.time(), state, draw.condition());
            }
            Tensor velocity = new NetworkDrift(student, false).at(draw.time(), state, draw.condition());
            Tensor distance = perItem(velocity.sub(drift).square());
            sums.add(scored.reward, shift, weight, full.gt(clipped), distance.detach(), strength);
            Tensor error = weighted(squares(draw, state, scored, weight, drift, velocity), draw.weights());
            Tensor total = loss.trust() == 0
                    ? error
                    : error.add(weighted(distance, draw.weights()).mul(loss.trust()));
            return new LossValue(scope.keep(total), scope.keep(error.detach()));
        }
    }

    /**
     * Returns each item's loss: the mean square over its entries, times its weight unless the target contains the
     * weight.
     */
    private Tensor squares(
            FineTuneDraw draw, Tensor state, Scored scored, Tensor weight, Tensor drift, Tensor velocity) {
        Tensor gradient = scored.gradient;
        if (gradient != null) {
            Tensor change = gradient.mul(MetaFlowMap.perItem(halfVariance(draw.time()), gradient));
            if (loss.form() == FineTuneLoss.Form.SEMI_GRADIENT) {
                Tensor wide = MetaFlowMap.perItem(weight, velocity);
                Tensor target =
                        drift.sub(velocity.detach().sub(drift).mul(wide.sub(1))).add(change.mul(wide));
                return perItem(velocity.sub(target).square());
            }
            return perItem(velocity.sub(drift.add(change)).square()).mul(weight);
        }
        Tensor target = loss.form() == FineTuneLoss.Form.REWARD_WEIGHTED
                ? draw.velocity()
                : scored.sample
                        .sub(state)
                        .div(MetaFlowMap.perItem(draw.time().neg().add(1).clampMin(1 - LATEST), state));
        return perItem(velocity.sub(target).square()).mul(weight);
    }

    private Scored scored(FineTuneDraw draw, Tensor state, Tensor strength) {
        if (loss.form() == FineTuneLoss.Form.REWARD_WEIGHTED) {
            try (Autograd.Mode off = Autograd.noGrad()) {
                return new Scored(tilt.scoreWithoutAutocast(draw.data(), draw.drawCondition()), null, draw.data());
            }
        }
        if (!loss.form().needsGradient()) {
            try (Autograd.Mode off = Autograd.noGrad()) {
                Tensor sample = sample(draw, state);
                return new Scored(tilt.scoreWithoutAutocast(sample, draw.drawCondition()), null, sample);
            }
        }
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode on = Autograd.enableGrad();
                BlockTape tape = BlockTape.open()) {
            Tensor point = state.detach().clone().requiresGrad_(true);
            Tensor sample = sample(draw, point);
            Tensor reward = tilt.scoreWithoutAutocast(sample, draw.drawCondition());
            Tensor gradient = tape.gradient(reward.sum(), point);
            // If the reward is minus infinity, the weight is 0, so any finite gradient works.
            Tensor impossible = MetaFlowMap.perItem(reward.detach().mul(strength.to(reward.dtype())), gradient)
                    .eq(Double.NEGATIVE_INFINITY);
            Tensor scaled = gradient.mul(strength.to(gradient.dtype())).maskedFill(impossible, 0);
            return new Scored(scope.keep(reward.detach()), scope.keep(scaled), scope.keep(sample.detach()));
        }
    }

    private Tensor sample(FineTuneDraw draw, Tensor state) {
        Context context = Context.unchecked(draw.time(), state, draw.drawCondition());
        return draws.flowMap(Torch.zerosLike(draw.time()), Torch.onesLike(draw.time()), draw.posteriorNoise(), context);
    }

    /** Returns λ at a step: (1) float64. */
    private Tensor strength(long step) {
        double grown = step >= loss.anneal() ? 1 : (step + 1.0) / (loss.anneal() + 1.0);
        Tensor own = Torch.full(tilt.strength() * grown, DType.FLOAT64, device(), 1);
        return monitor == null ? own : own.mul(monitor.factor());
    }

    /** Returns σ²/2 at each time: (B). */
    private Tensor halfVariance(Tensor time) {
        return loss.variance() > 0
                ? Torch.onesLike(time).mul(loss.variance() / 2)
                : time.add(EARLIEST).reciprocal().sub(1).clampMin(0).clampMax(MOST_HALF_VARIANCE);
    }

    private Condition guided(Condition condition, double scale) {
        return scale == 1 ? condition : condition.guided(scale, student.classes());
    }

    private static Tensor perItem(Tensor squares) {
        return squares.reshape(squares.size(0), -1).mean(1);
    }

    private static Tensor weighted(Tensor perItem, @Nullable Tensor weights) {
        return (weights == null ? perItem : perItem.mul(weights)).mean();
    }

    /**
     * Sets the shifts before the first step from posterior draws of some items; otherwise the first weights e^{λr} may
     * be infinite. Changes no parameter, and uses another random source than the steps.
     *
     * @param batch the items, scored in one call
     * @param source of the draws, on the student's device
     */
    void warmUp(TrainingData.Batch batch, RandomSource source) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            FineTuneDraw draw = draw(batch, 0, source);
            Tensor strength = strength(0);
            Tensor samples =
                    loss.form() == FineTuneLoss.Form.REWARD_WEIGHTED ? draw.data() : sample(draw, draw.state());
            Tensor reward = tilt.scoreWithoutAutocast(samples, draw.drawCondition());
            shifts.note(draw.condition().labels().orElse(null), reward.mul(strength.to(reward.dtype())), strength);
            shifts.commit();
        }
    }

    @Override
    public void stepped(long step) {
        shifts.commit();
    }

    /**
     * Reads metrics, as means over the items since the last call: reward, strength λ, shift k, squared distance of
     * student and base per entry, mean weight, effective sample size and clipped items as shares of the items.
     *
     * @return values by name; empty if no step was taken since
     */
    public Map<String, Double> readStatistics() {
        return sums.read();
    }

    /** Returns the student's parameters. */
    @Override
    public List<ParameterArena> parameters() {
        return List.of(student.parameters());
    }

    @Override
    public List<RandomSource> randomSources() {
        return List.of(random);
    }

    /** Returns the shifts and the monitor's state. */
    @Override
    public Saved saved() {
        Saved saved = shifts.saved().under("shift/");
        return monitor == null ? saved : saved.and(monitor.saved());
    }

    @Override
    public void close() {
        shifts.close();
        sums.close();
    }
}
