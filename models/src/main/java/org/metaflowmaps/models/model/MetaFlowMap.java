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
 * A network v(s, u, x̄; t, x_t, y, w): the average velocity, from time s to time u, of the flow that carries noise to the
 * posterior of clean data given x_t (arXiv 2601.14430). Times run from noise (0) to data (1).
 *
 * <p>Thread safety: any number of platform threads may evaluate a map at once, each in a {@link
 * org.metaflowmaps.runtime.TensorScope} of its own, as long as none trains it or changes its parameters. Any thread may close it:
 * closing waits until the native calls of other threads on its tensors are over, and what uses it after that throws
 * {@link IllegalStateException}.
 */
public interface MetaFlowMap extends Network {
    /**
     * The average velocity and its derivative along a direction in (s, u, x̄) and, if the context's state has a tangent, in x_t.
     *
     * <p>Under {@link org.metaflowmaps.runtime.Autocast} the products inside are computed in bfloat16; inputs, times, statistics,
     * sums and results stay float32.
     *
     * @param start s: (B) in [0, 1]
     * @param end u: (B) in [0, 1]
     * @param state x̄: (B, item shape)
     * @param context what the posterior is given
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
     * The amortised guidance scales that the map has rows for, 1 first. Another scale is answered as the nearest of them.
     *
     * @return empty for a map that does not look at guidance scales
     */
    default List<Double> guidanceScales() {
        return List.of();
    }

    /** False if the context's time, state and guidance are not looked at: the map of a flow, not of posteriors. */
    default boolean isContextual() {
        return true;
    }

    /**
     * This map's structure over another buffer of its parameters' layout, such as a moving average's. Nothing is copied: the new map
     * follows every change of the buffer. It is frozen: gradients reach its inputs, not its weights.
     *
     * <p>Over a bfloat16 buffer, products are bfloat16; inputs, times, statistics, sums and results stay float32.
     *
     * @param flat as many elements as {@link ParameterArena#values}: float32, float64 or bfloat16, not owned
     * @return owned by the caller; the buffer's memory lives as long as it does
     * @throws IllegalArgumentException for a buffer of another size or type
     * @throws UnsupportedOperationException if this map is no network over one buffer
     */
    default MetaFlowMap boundTo(Tensor flat) {
        throw new UnsupportedOperationException(
                "a " + getClass().getSimpleName() + " cannot be bound to another buffer");
    }

    /** This map without gradients of its weights, over the same memory: see {@link #boundTo}. Owned by the caller. */
    default MetaFlowMap frozen() {
        return boundTo(parameters().values());
    }

    /**
     * A frozen copy of this map, which later changes of this one do not reach.
     *
     * @param type of its weights: float32, float64, or bfloat16 to sample with half the memory
     * @return owned by the caller
     * @throws IllegalArgumentException for another type
     * @throws UnsupportedOperationException if this map is no network over one buffer
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

    /** A vector (B) reshaped so that it broadcasts over the items of {@code like} (B, ...). */
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
