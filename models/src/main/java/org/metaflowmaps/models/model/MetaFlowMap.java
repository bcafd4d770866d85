package org.metaflowmaps.models.model;

import java.util.Arrays;
import java.util.List;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * A network v(s, u, x̄; t, x_t, y, w): the average velocity from time s to time u of the flow from noise to the
 * posterior of clean data given x_t (arXiv 2601.14430). Times run from noise (0) to data (1).
 *
 * <p>Thread safety: platform threads may evaluate a map concurrently, each in its own
 * {@link org.metaflowmaps.runtime.TensorScope}, while no thread changes its parameters. Any thread may close it:
 * closing waits until native calls of other threads on its tensors return, and later use throws
 * {@link IllegalStateException}.
 */
public interface MetaFlowMap extends Network {
    /**
     * Returns the average velocity and its derivative along a direction in (s, u, x̄) and, if the context's state has a
     * tangent, in x_t.
     *
     * <p>Under {@link org.metaflowmaps.runtime.Autocast} the products inside are computed in bfloat16; inputs, times,
     * statistics, sums and results stay float32.
     *
     * @param start s: (B) in [0, 1]
     * @param end u: (B) in [0, 1]
     * @param state x̄: (B, item shape)
     * @param context the posterior's context
     * @return (B, item shape), in the innermost open scope
     * @throws IllegalArgumentException if shapes, types, devices or labels do not fit
     */
    @SuppressWarnings("exports")
    Dual averageVelocity(Dual start, Dual end, Dual state, Context context);

    /** The shape of one item, without the batch dimension. */
    Shape itemShape();

    /** The number of classes; 0 for a map without labels. A label of this value means "no label". */
    int classes();

    /**
     * Returns the amortised guidance scales of the map's rows, 1 first. For another scale the nearest row is used.
     *
     * @return empty for a map that ignores guidance scales
     */
    default List<Double> guidanceScales() {
        return List.of();
    }

    /** Returns false if the map ignores the context's time, state and guidance: a flow or flow map. */
    default boolean isContextual() {
        return true;
    }

    /**
     * Returns this network over another buffer of its parameters' layout, such as a moving average. Nothing is copied,
     * so the new map sees every change of the buffer. It is frozen: gradients reach its inputs, not its weights.
     *
     * <p>Over a bfloat16 buffer, products are bfloat16; inputs, times, statistics, sums and results stay float32.
     *
     * @param flat as many elements as {@link ParameterArena#values}: float32, float64 or bfloat16, not owned
     * @return owned by the caller; keeps the buffer's memory allocated
     * @throws IllegalArgumentException for a buffer of another size or type
     * @throws UnsupportedOperationException if this map is not a network over one buffer
     */
    default MetaFlowMap boundTo(Tensor flat) {
        throw new UnsupportedOperationException(
                "a " + getClass().getSimpleName() + " cannot be bound to another buffer");
    }

    /**
     * Returns this network over the same weights with gradients of its own ({@link ParameterArena#replica}), so that
     * several threads can train it on parts of a batch.
     *
     * @return owned by the caller; sees every change of the weights
     * @throws UnsupportedOperationException if this map is not a network over one buffer
     * @throws IllegalStateException if this map is frozen
     */
    default MetaFlowMap replica() {
        throw new UnsupportedOperationException("a " + getClass().getSimpleName() + " has no replicas");
    }

    /**
     * Returns this map without gradients of its weights, over the same memory: see {@link #boundTo}. Owned by the
     * caller.
     */
    default MetaFlowMap frozen() {
        return boundTo(parameters().values());
    }

    /**
     * Returns a frozen copy of this map; later changes of this map do not affect it.
     *
     * @param type of the copy's weights: float32, float64, or bfloat16 to sample with half the memory
     * @return owned by the caller
     * @throws IllegalArgumentException for another type
     * @throws UnsupportedOperationException if this map is not a network over one buffer
     */
    default MetaFlowMap copy(DType type) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor values = parameters().values();
            return boundTo(values.dtype() == type ? values.clone() : values.to(type));
        }
    }

    /** The average velocity v(s, u, x̄; context): see {@link #averageVelocity(Dual, Dual, Dual, Context)}. */
    default Tensor averageVelocity(Tensor start, Tensor end, Tensor state, Context context) {
        return averageVelocity(Dual.constant(start), Dual.constant(end), Dual.constant(state), context)
                .primal();
    }

    /** The flow map X(s, u, x̄) = x̄ + (u - s)·v(s, u, x̄; context). */
    default Tensor flowMap(Tensor start, Tensor end, Tensor state, Context context) {
        return state.add(perItem(end.sub(start), state).mul(averageVelocity(start, end, state, context)));
    }

    /** Reshapes a vector (B) so that it broadcasts over the items of {@code like} (B, ...). */
    static Tensor perItem(Tensor vector, Tensor like) {
        if (vector.dim() != 1 || like.dim() == 0) {
            throw new IllegalArgumentException(
                    "perItem: vector " + vector + " and like " + like + ", expected (B) and (B, ...)");
        }
        long[] shape = new long[like.dim()];
        Arrays.fill(shape, 1);
        shape[0] = vector.size(0);
        return vector.reshape(shape);
    }
}
