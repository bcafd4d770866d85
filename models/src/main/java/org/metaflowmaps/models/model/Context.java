package org.metaflowmaps.models.model;

import com.google.common.base.Preconditions;
import java.util.function.UnaryOperator;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * The context of a meta flow map: a noisy state whose posterior of clean data is wanted, its time, and a
 * {@link Condition}. The state may have a tangent, see {@link #along}; the time is constant.
 *
 * <p>The constructor reads times and guidance scales back to check them, and a map then checks labels and flow times at
 * every call. {@link #unchecked} avoids these reads, because each waits for the GPU.
 */
public final class Context {
    private final Tensor time;
    private final Dual state;
    private final Condition condition;
    private final boolean checked;

    private Context(Tensor time, Dual state, Condition condition, boolean checked) {
        this.time = time;
        this.state = state;
        this.condition = condition;
        this.checked = checked;
    }

    /**
     * Makes a context and checks its values.
     *
     * @param time t, the noise level of the state: (B) in [0, 1]; at 0 the state is pure noise without information
     * @param state x_t: (B, ...), the item shape of the map
     * @param condition labels and guidance scales of the B items
     * @throws IllegalArgumentException if a time is outside [0, 1] or a scale is not finite
     */
    public Context(Tensor time, Tensor state, Condition condition) {
        this(time, Dual.constant(state), condition, true);
        InputValues.requireTimes("context time", time);
        requireFinite(condition);
    }

    /**
     * Makes a context without labels or guidance.
     *
     * @throws IllegalArgumentException if a time is outside [0, 1]
     */
    public Context(Tensor time, Tensor state) {
        this(time, state, Condition.none());
    }

    /**
     * Makes a context from values known to be in range, such as a training step's draws: nothing is read back, neither
     * here nor when a map is evaluated. Shapes, types and devices are still checked. Values out of range give
     * meaningless results.
     */
    public static Context unchecked(Tensor time, Tensor state, Condition condition) {
        return new Context(time, Dual.constant(state), condition, false);
    }

    /**
     * Returns a context without information: t = 0 and a zero state, for states like {@code state}.
     *
     * @throws IllegalArgumentException if a scale is not finite
     */
    public static Context unconditional(Tensor state, Condition condition) {
        requireFinite(condition);
        return new Context(
                Torch.zeros(state.dtype(), state.device(), state.size(0)),
                Dual.constant(Torch.zerosLike(state)),
                condition,
                true);
    }

    private static void requireFinite(Condition condition) {
        condition.guidance().ifPresent(scales -> InputValues.requireFinite("guidance", scales));
    }

    /** t: (B). */
    public Tensor time() {
        return time;
    }

    /** x_t: (B, ...). */
    public Tensor state() {
        return state.primal();
    }

    /** Returns x_t with its tangent, if any. */
    @SuppressWarnings("exports")
    public Dual dualState() {
        return state;
    }

    /** Labels and guidance scales. */
    public Condition condition() {
        return condition;
    }

    /** Returns false if values of this context, and times used with it, are not checked: see {@link #unchecked}. */
    public boolean isChecked() {
        return checked;
    }

    /**
     * Returns this context with a direction of its state. A map's results then have tangents along it, such as the
     * derivative of a posterior draw in x_t. The tangents have no gradient graph.
     *
     * @param tangent (B, ...), the state's shape and type
     * @throws IllegalArgumentException if the shapes differ
     */
    public Context along(Tensor tangent) {
        return new Context(time, Dual.of(state.primal(), tangent), condition, checked);
    }

    /**
     * Returns this context for many evaluations of one map: checks its labels now, and reads nothing back later.
     *
     * @throws IllegalArgumentException if a label is not a class of the map
     */
    public Context checkedFor(MetaFlowMap map) {
        if (checked) {
            condition.labels().ifPresent(labels -> InputValues.requireLabels(labels, map.classes()));
        }
        return new Context(time, state, condition, false);
    }

    /**
     * Returns this context with another condition.
     *
     * @throws IllegalArgumentException if a scale is not finite, unless this context is unchecked
     */
    public Context with(Condition other) {
        if (checked) {
            requireFinite(other);
        }
        return new Context(time, state, other, checked);
    }

    /** Returns the context of {@code length} items from {@code start} on. */
    public Context slice(long start, long length) {
        return new Context(
                time.narrow(0, start, length), state.narrow(0, start, length), condition.slice(start, length), checked);
    }

    /** Returns the context of the first items of the batch. */
    public Context first(long count) {
        return slice(0, count);
    }

    /** Repeats each item this many times in a row: a batch of B becomes one of B·times. */
    public Context repeatInterleave(long times) {
        return new Context(
                time.repeatInterleave(times, 0),
                state.repeatInterleave(times, 0),
                condition.repeatInterleave(times),
                checked);
    }

    /**
     * Returns the context of selected items.
     *
     * @param index indices of items: (N) int64, in any order, may repeat
     */
    public Context indexSelect(Tensor index) {
        return new Context(
                time.indexSelect(0, index), state.indexSelect(0, index), condition.indexSelect(index), checked);
    }

    /**
     * Returns the context of changed tensors: the time, the state, then those of the {@link Condition#map condition}.
     *
     * @param change returns a tensor of the same shape and type for each
     * @throws IllegalStateException if the state has a tangent
     */
    public Context map(UnaryOperator<Tensor> change) {
        Preconditions.checkState(
                state.tangent() == null,
                "context: the state has a tangent, which map would drop: call map before along");
        return new Context(
                change.apply(time), Dual.constant(change.apply(state.primal())), condition.map(change), checked);
    }

    /** Moves the tensors to the scope around {@code scope}. */
    public Context keptFrom(TensorScope scope) {
        return new Context(scope.keep(time), state.keptFrom(scope), condition.keptFrom(scope), checked);
    }
}
