package org.metaflowmaps.steering.finetune;

import com.google.common.base.Preconditions;
import java.util.Map;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.checkpoint.Saved;

/**
 * Monitors a reward that is not optimised, because a student tilted too far still improves in its own reward but gets
 * worse in others. After {@code patience} evaluations in a row below the best, it lowers the strength λ or stops the
 * run.
 *
 * <p>Its state is saved with a checkpoint. Thread safety: one thread at a time.
 */
public final class RewardMonitor implements AutoCloseable {
    private static final int BEST = 0;
    private static final int BELOW = 1;
    private static final int FACTOR = 2;
    private static final int STOPPED = 3;

    private final int patience;
    private final double lowering;
    private final Tensor state;

    /** The result of an evaluation. */
    public enum Verdict {
        /** The score is the best so far. */
        BEST,
        /** The score is not the best; the run continues unchanged. */
        CONTINUE,
        /** λ was lowered. */
        LOWERED,
        /** The run must stop. */
        STOP
    }

    /**
     * Makes a monitor without evaluations.
     *
     * @param patience evaluations in a row below the best after which it acts, at least 1
     * @param lowering the factor applied to λ then, above 0 and below 1; 0 to stop the run
     * @param device of the student
     */
    public RewardMonitor(int patience, double lowering, Device device) {
        Preconditions.checkArgument(patience >= 1, "monitor: patience is %s, expected at least 1", patience);
        Preconditions.checkArgument(
                lowering >= 0 && lowering < 1, "monitor: lowering is %s, expected 0 (stop) to below 1", lowering);
        this.patience = patience;
        this.lowering = lowering;
        try (TensorScope scope = TensorScope.open()) {
            state = Torch.zeros(DType.FLOAT64, device, 4).retain();
            state.select(0, BEST).fill_(Double.NEGATIVE_INFINITY);
            state.select(0, FACTOR).fill_(1);
        }
    }

    /**
     * Records an evaluation of the independent reward.
     *
     * @param score its mean; NaN counts as below the best
     */
    public Verdict observe(double score) {
        double[] now = state.toDoubleArray();
        Verdict verdict = judge(now, score);
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            state.copy_(Torch.of(now));
        }
        return verdict;
    }

    private Verdict judge(double[] now, double score) {
        if (now[STOPPED] > 0) {
            return Verdict.STOP;
        }
        if (score > now[BEST]) {
            now[BEST] = score;
            now[BELOW] = 0;
            return Verdict.BEST;
        }
        now[BELOW]++;
        if (now[BELOW] < patience) {
            return Verdict.CONTINUE;
        }
        now[BELOW] = 0;
        if (lowering == 0) {
            now[STOPPED] = 1;
            return Verdict.STOP;
        }
        now[FACTOR] *= lowering;
        return Verdict.LOWERED;
    }

    /** Returns true if the run must stop; reads the state from the device. */
    public boolean isStopped() {
        return state.toDoubleArray()[STOPPED] > 0;
    }

    /** Returns the factor of λ: (1) float64 on the student's device, in the innermost open scope. */
    Tensor factor() {
        return state.narrow(0, FACTOR, 1);
    }

    /** Returns the state for a checkpoint. */
    Saved saved() {
        return new Saved(Map.of("monitor", state), Map.of());
    }

    @Override
    public void close() {
        state.close();
    }
}
