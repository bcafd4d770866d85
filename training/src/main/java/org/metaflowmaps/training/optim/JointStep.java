package org.metaflowmaps.training.optim;

import com.google.common.base.Preconditions;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.kernel.AdamPass;

/**
 * Clipping, optimisers' steps and the moving average in one pass over memory for each optimiser, instead of one pass for each
 * of the three ({@link AdamPass}). Moments and numbers of updates are those of the optimisers, so that steps of both kinds
 * can be mixed.
 */
public final class JointStep implements AutoCloseable {
    private final List<Part> parts;
    private final @Nullable MovingAverage average;
    private final Tensor copied;
    private final Tensor shared;

    /** An optimiser as its pass needs it. */
    private record Part(ParameterArena arena, AdamPass pass, Moments moments, UpdateCount updates) {
        static Part of(Optimizer optimizer, double largestNorm, Function<AdamPass.Settings, AdamPass> maker) {
            return switch (optimizer) {
                case AdamW rule ->
                    new Part(rule.arena(), maker.apply(rule.settings(largestNorm)), rule.buffers(), rule.updates());
                case RAdam rule ->
                    new Part(rule.arena(), maker.apply(rule.settings(largestNorm)), rule.buffers(), rule.updates());
            };
        }
    }

    /** Uses passes of a maker. */
    JointStep(
            List<Optimizer> optimizers,
            @Nullable MovingAverage average,
            double largestNorm,
            Function<AdamPass.Settings, AdamPass> maker) {
        this.parts = optimizers.stream()
                .map(optimizer -> Part.of(optimizer, largestNorm, maker))
                .toList();
        this.average = average;
        Device device = optimizers.getFirst().arena().values().device();
        try (TensorScope scope = TensorScope.open()) {
            copied = Torch.full(1, DType.FLOAT32, device).retain();
            shared = Torch.full(average == null ? 1 : average.share(), DType.FLOAT32, device)
                    .retain();
        }
    }

    /**
     * Returns the joint step of some optimisers; empty if not all their arenas are updated by kernels, see
     * {@link AdamPass#hasKernels}.
     *
     * @param optimizers at least one, not owned
     * @param average of an optimiser's arena, not owned; null for none
     * @param largestNorm of all gradients together, to which they are clipped; infinity for no bound
     * @return owned by the caller
     */
    public static Optional<JointStep> of(
            List<Optimizer> optimizers, @Nullable MovingAverage average, double largestNorm) {
        Preconditions.checkArgument(
                !optimizers.isEmpty(), "joint step: no optimisers were given, expected one or more");
        Tensor first = optimizers.getFirst().arena().values();
        return optimizers.stream()
                        .allMatch(optimizer ->
                                AdamPass.hasKernels(optimizer.arena().values()))
                ? Optional.of(new JointStep(optimizers, average, largestNorm, settings -> AdamPass.on(first, settings)))
                : Optional.empty();
    }

    /**
     * Clips, updates and averages, or changes nothing if the step is skipped. Gradients are not changed.
     *
     * @param learningRate a float64 scalar, as in {@link Optimizer#step}
     * @param skip a float32 scalar, as there
     * @param norm of all gradients together, {@link Clipping#norm}
     * @param step from 0, as in {@link MovingAverage#update(long, Tensor)}
     */
    public void step(Tensor learningRate, Tensor skip, Tensor norm, long step) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            for (Part part : parts) {
                part.updates.advance(skip);
                MovingAverage own = average != null && average.arena() == part.arena ? average : null;
                part.pass.step(
                        new AdamPass.Buffers(
                                part.arena.values(),
                                part.arena.gradients(),
                                part.moments.average(),
                                part.moments.squareAverage(),
                                own == null ? null : own.values(),
                                null),
                        new AdamPass.Scalars(
                                learningRate,
                                part.updates.count(),
                                skip,
                                norm,
                                own == null || own.copiesAt(step) ? copied : shared));
            }
        }
    }

    @Override
    public void close() {
        copied.close();
        shared.close();
    }
}
