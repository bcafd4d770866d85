package org.metaflowmaps.steering.value;

import com.google.common.base.Preconditions;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Tilt;

/**
 * Records, on the device and without reading it, the first score of a run that is NaN or positive infinity.
 * {@link #check} reads the record: call it where the host reads anyway, and at the end. Until then, results after a bad
 * score are meaningless. Negative infinity is an allowed score.
 *
 * <p>Thread safety: one thread at a time, like the run that owns it.
 */
public final class ScoreGuard implements AutoCloseable {
    /** Records nothing. */
    static final ScoreGuard NONE = new ScoreGuard();

    /** Distance between the codes of two calls: more than two codes for each row. */
    private static final double CALL = 0x1p33;

    /**
     * Where scores are from.
     *
     * @param reward its name
     * @param diagnosis returns where NaN appeared first; empty if unknown
     */
    record Source(String reward, Supplier<String> diagnosis) {
        Source {
            Preconditions.checkNotNull(reward, "score guard: the reward's name is null");
        }

        static Source of(Tilt tilt) {
            return new Source(tilt.reward().name(), tilt::diagnosis);
        }

        static Source of(String reward) {
            return new Source(reward, () -> "");
        }
    }

    /** The arguments of one call of {@link #record}. */
    private record Call(Source source, int step, SteeringNoise noise) {
        Call {
            Preconditions.checkNotNull(noise, "score guard: the noise is null");
        }
    }

    private final List<Call> calls = new ArrayList<>();
    /**
     * The smallest code of a bad score, call · 2³³ + 2 · row + (0 for NaN, 1 for infinity); infinity if none was bad:
     * float64[1].
     */
    private @Nullable Tensor first;

    private final @Nullable Deferred deferred;
    private boolean closed;

    /** Makes an empty guard. */
    public ScoreGuard() {
        this.deferred = null;
    }

    /** Makes a guard that lists its calls, to be recorded by another guard. */
    ScoreGuard(Deferred deferred) {
        this.deferred = deferred;
    }

    /**
     * Calls of {@link #record} that were not judged.
     *
     * @param sources where their scores are from
     * @param scores copies of their scores, owned by the guard
     */
    record Deferred(List<Source> sources, List<Tensor> scores) {
        Deferred() {
            this(new ArrayList<>(), new ArrayList<>());
        }
    }

    /**
     * Records bad scores.
     *
     * @param reward the name of their reward
     * @param step of the sampler, from 0
     * @param noise gives the rows' names
     * @param scores scores of each row from the reward: (rows) or (rows, draws)
     * @throws IllegalStateException if this guard was closed
     */
    public void record(String reward, int step, SteeringNoise noise, Tensor scores) {
        record(Source.of(reward), step, noise, scores);
    }

    /**
     * Records bad scores of a tilt; the exception for them also says where NaN appeared first, if the tilt knows.
     *
     * @param tilt that gave the scores, before its strength; not owned
     * @param step of the sampler, from 0
     * @param noise gives the rows' names
     * @param scores as for {@link #record(String, int, SteeringNoise, Tensor)}
     * @throws IllegalStateException if this guard was closed
     */
    public void record(Tilt tilt, int step, SteeringNoise noise, Tensor scores) {
        record(Source.of(tilt), step, noise, scores);
    }

    void record(Source source, int step, SteeringNoise noise, Tensor scores) {
        if (equals(NONE)) {
            return;
        }
        requireOpen();
        if (deferred != null) {
            try (TensorScope scope = TensorScope.open();
                    Autograd.Mode off = Autograd.noGrad()) {
                deferred.sources.add(source);
                deferred.scores.add(scores.detach().clone().retain());
            }
            return;
        }
        Call call = new Call(source, step, noise);
        Preconditions.checkArgument(scores.dim() >= 1, "score guard: scores are %s, expected (rows, ...)", scores);
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor seen = first;
            if (seen == null) {
                seen = Torch.full(Double.POSITIVE_INFINITY, DType.FLOAT64, scores.device(), 1)
                        .retain();
                first = seen;
            }
            long rows = scores.size(0);
            Tensor given = scores.detach().reshape(rows, -1);
            Tensor code = Torch.arange(rows, scores.device())
                    .to(DType.FLOAT64)
                    .mul(2)
                    .add(calls.size() * CALL)
                    .unsqueeze(1);
            // NaN is not equal to itself and not below infinity.
            Tensor bad = Torch.where(given.eq(given), code.add(1), code);
            // Codes grow with calls, so the smallest is the first.
            seen.copy_(seen.minimum(bad.maskedFill(given.lt(Double.POSITIVE_INFINITY), Double.POSITIVE_INFINITY)
                    .min()));
            calls.add(call);
        }
    }

    /**
     * Reads the record, one value from the device, and clears it if all scores were allowed.
     *
     * @throws BadScoreException if a score was NaN or positive infinity; the message names the first one's reward,
     *     step, item and particle
     * @throws IllegalStateException if this guard was closed
     */
    public void check() {
        requireOpen();
        Tensor seen = first;
        if (seen == null) {
            return;
        }
        double code = seen.item();
        if (code == Double.POSITIVE_INFINITY) {
            calls.clear();
            return;
        }
        Call call = calls.get((int) (code / CALL));
        long rest = (long) (code % CALL);
        throw new BadScoreException(
                call.source().reward(),
                rest % 2 == 0,
                call.step(),
                call.noise().row(rest / 2),
                call.source().diagnosis().get());
    }

    private void requireOpen() {
        Preconditions.checkState(!closed, "this ScoreGuard was closed: check it before closing it");
    }

    /** Frees the record without reading it. Closing twice does nothing. */
    @Override
    public void close() {
        closed = true;
        if (deferred != null) {
            deferred.scores.forEach(Tensor::close);
        }
        if (first != null) {
            first.close();
            first = null;
        }
        calls.clear();
    }
}
