package org.metaflowmaps.training;

import com.google.common.base.Preconditions;
import java.io.UncheckedIOException;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.BlockTape;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.ProfilerRange;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.config.Precision;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.loss.LossValue;
import org.metaflowmaps.training.optim.Clipping;
import org.metaflowmaps.training.optim.JointStep;
import org.metaflowmaps.training.optim.MovingAverage;
import org.metaflowmaps.training.optim.Optimizer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Takes steps: data, draw, losses, gradients, clipping, update. Nothing is read back to the host. */
final class StepRunner<D> implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(StepRunner.class);

    private final Objective<D> objective;
    private final TrainingData data;
    private final List<Optimizer> optimizers;
    private final @Nullable MovingAverage average;
    private final TrainerSettings settings;
    private final SkippedSteps skipped;
    private final Device device;
    private final Tensor learningRate;
    private final @Nullable Parts<D> parts;
    private final @Nullable CapturedSteps<D> captured;
    private final @Nullable JointStep joint;

    StepRunner(
            Objective<D> objective,
            TrainingData data,
            List<Optimizer> optimizers,
            @Nullable MovingAverage average,
            TrainerSettings settings) {
        Preconditions.checkArgument(
                optimizers.stream().map(Optimizer::arena).toList().equals(objective.parameters()),
                "trainer: %s optimisers, expected one for each of the objective's %s arenas, in their order",
                optimizers.size(),
                objective.parameters().size());
        this.objective = objective;
        this.data = data;
        this.optimizers = List.copyOf(optimizers);
        this.average = average;
        this.settings = settings;
        this.device = objective.parameters().getFirst().values().device();
        this.skipped = new SkippedSteps(settings.skipAbove(), settings.maxSkipped(), device);
        this.parts = settings.slices() > 1 && objective instanceof SplitObjective<D> split
                ? new Parts<>(split, settings.slices())
                : null;
        Optional<String> obstacle = obstacle(objective, settings);
        this.captured = settings.graphs() && obstacle.isEmpty() && objective instanceof GraphObjective<D> graph
                ? new CapturedSteps<>(graph, device)
                : null;
        if (settings.graphs() && device.type() == Device.Type.CUDA) {
            obstacle.ifPresent(why -> LOG.warn("warning: graphs=true has no effect, because {}", why));
        }
        this.joint = JointStep.of(optimizers, average, largestNorm(settings)).orElse(null);
        try (TensorScope scope = TensorScope.open()) {
            this.learningRate = Torch.zeros(DType.FLOAT64, device).retain();
        }
    }

    /** Returns why steps cannot be captured, and what to change; empty if they can. */
    static Optional<String> obstacle(Objective<?> objective, TrainerSettings settings) {
        if (settings.accumulate() > 1) {
            return Optional.of("steps have several passes (accumulate=" + settings.accumulate()
                    + ") and only those of one are captured: set accumulate=1, with a batch that fits in memory");
        }
        if (settings.slices() > 1 && objective instanceof SplitObjective<?>) {
            return Optional.of("passes are computed in " + settings.slices()
                    + " slices, and only whole ones are captured: set slices=1");
        }
        return objective instanceof GraphObjective<?>
                ? Optional.empty()
                : Optional.of("the objective is no GraphObjective: implement it, or set graphs=false");
    }

    /** The captured steps, owned by this object; null if steps are not captured. */
    @Nullable
    CapturedSteps<D> captured() {
        return captured;
    }

    /** The counts of skipped steps, owned by this object. */
    SkippedSteps skipped() {
        return skipped;
    }

    /**
     * The results of a step, on the device.
     *
     * @param errors of the losses by name, summed over the passes
     * @param norm of the gradient before clipping
     */
    record Result(Map<String, Tensor> errors, Tensor norm) {}

    /** Takes a step, counted from 0; the result is in the innermost open scope. */
    Result step(long step) {
        learningRate.fill_(settings.learningRate().applyAsDouble(step));
        try (TensorScope scope = TensorScope.open();
                ProfilerRange range = ProfilerRange.open("step", step + 1)) {
            Result result = captured == null ? eager(step) : captured(captured, step);
            objective.stepped(step);
            result.errors().replaceAll((name, error) -> scope.keep(error));
            return new Result(result.errors(), scope.keep(result.norm()));
        }
    }

    private Result eager(long step) {
        return finish(step, inPrecision(() -> passes(step)));
    }

    /** Computes gradients, in bfloat16 with weights that are converted once for all passes. */
    private Map<String, Tensor> inPrecision(Supplier<Map<String, Tensor>> gradients) {
        if (settings.precision() != Precision.BFLOAT16) {
            return gradients.get();
        }
        objective.evaluated().forEach(ParameterArena::narrow);
        try {
            return gradients.get();
        } finally {
            objective.evaluated().forEach(ParameterArena::widen);
        }
    }

    private Map<String, Tensor> passes(long step) {
        objective.parameters().forEach(arena -> arena.gradients().zero_());
        Map<String, Tensor> errors = new LinkedHashMap<>();
        List<RandomSource> sources = settings.accumulate() == 1 ? List.of() : objective.randomSources();
        List<Tensor> before = sources.stream().map(RandomSource::state).toList();
        for (int part = 0; part < settings.accumulate(); part++) {
            try {
                pass(step, part).forEach((name, error) -> errors.merge(name, error, Tensor::add));
            } catch (UncheckedIOException | OutOfMemoryError e) {
                // Restore the random state, because earlier passes drew noise and the step will be repeated.
                for (int i = 0; i < sources.size(); i++) {
                    sources.get(i).restore(before.get(i));
                }
                throw e;
            }
        }
        return errors;
    }

    /** Clips, judges and updates after the gradients of a step. */
    private Result finish(long step, Map<String, Tensor> errors) {
        Tensor norm;
        try (ProfilerRange range = ProfilerRange.open("clip")) {
            norm = joint == null
                    ? Clipping.clip(objective.parameters(), largestNorm(settings))
                    : Clipping.norm(objective.parameters());
        }
        Tensor skip = skipped.judge(probe(norm, errors.values()));
        try (ProfilerRange range = ProfilerRange.open("optimizer")) {
            if (joint == null) {
                update(step, skip);
            } else {
                joint.step(learningRate, skip, norm, step);
            }
        }
        return new Result(errors, norm);
    }

    private static double largestNorm(TrainerSettings settings) {
        return settings.clip() == 0 ? Double.POSITIVE_INFINITY : settings.clip();
    }

    private Result captured(CapturedSteps<D> graphs, long step) {
        boolean copies = average == null || average.copiesAt(step);
        return graphs.run(
                drawn(step, 0),
                copies,
                draw -> finish(step, inPrecision(() -> {
                    objective.parameters().forEach(arena -> arena.gradients().zero_());
                    return differentiated(draw);
                })));
    }

    private Map<String, Tensor> differentiated(D draw) {
        Map<String, Tensor> errors = new LinkedHashMap<>();
        List<ParameterArena> arenas = objective.parameters();
        objective.losses(draw).forEach(loss -> errors.put(loss.name(), differentiated(loss, arenas)));
        return errors;
    }

    /** Reads the items of a part of a step, and draws its random numbers. */
    private D drawn(long step, int part) {
        long position = (step * settings.accumulate() + part) * settings.batch();
        TrainingData.Batch batch;
        try (ProfilerRange range = ProfilerRange.open("data")) {
            batch = data.batch(position, settings.batch());
        }
        try (ProfilerRange range = ProfilerRange.open("draw")) {
            return objective.draw(batch, step);
        }
    }

    /** Updates all parameters and the average unless {@code skip}, a value on the device, is 1. */
    private void update(long step, Tensor skip) {
        optimizers.forEach(optimizer -> optimizer.step(learningRate, skip));
        if (average != null) {
            average.update(step, skip);
        }
    }

    /**
     * Draws a part of a step and adds its losses' gradients; returns their errors by name, in the innermost open scope.
     */
    private Map<String, Tensor> pass(long step, int part) {
        try (TensorScope scope = TensorScope.open()) {
            D draw = drawn(step, part);
            Map<String, Tensor> errors =
                    parts == null ? differentiated(draw) : parts.differentiate(draw, this::differentiated);
            errors.replaceAll((name, error) -> scope.keep(error));
            return errors;
        }
    }

    /**
     * Adds a loss's gradient to its parameters' arenas and frees its graph, so that only one graph exists at a time; returns
     * its error.
     */
    private Tensor differentiated(Loss loss, List<ParameterArena> arenas) {
        try (TensorScope scope = TensorScope.open();
                BlockTape tape = settings.recompute() ? BlockTape.open() : null) {
            LossValue value;
            try (ProfilerRange range = ProfilerRange.open("forward");
                    Autocast mode = settings.precision().on(device)) {
                value = loss.compute().get();
            }
            try (ProfilerRange range = ProfilerRange.open("backward")) {
                Tensor share =
                        settings.accumulate() == 1 ? value.loss() : value.loss().div(settings.accumulate());
                if (tape == null) {
                    Autograd.backward(share);
                } else {
                    tape.backward(share);
                }
                arenas.forEach(ParameterArena::addNarrowedGradients);
            }
            return scope.keep(value.error());
        }
    }

    /** Returns the norm, or NaN if a loss is not finite. */
    private static Tensor probe(Tensor norm, Collection<Tensor> errors) {
        try (Autograd.Mode off = Autograd.noGrad()) {
            Tensor probe = norm;
            for (Tensor error : errors) {
                probe = probe.add(error.mul(0));
            }
            return probe;
        }
    }

    @Override
    public void close() {
        if (captured != null) {
            captured.close();
        }
        if (parts != null) {
            parts.close();
        }
        if (joint != null) {
            joint.close();
        }
        learningRate.close();
        skipped.close();
    }
}
