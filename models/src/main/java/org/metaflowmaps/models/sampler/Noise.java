package org.metaflowmaps.models.sampler;

import com.google.common.base.Preconditions;
import java.util.List;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;

/** The source of a sampler's standard normal numbers: its start, and fresh noise for samplers that add noise. */
@FunctionalInterface
public interface Noise {
    /**
     * Returns the next noise.
     *
     * @return (B, item shape), the same shape at every call; owned by the caller that passed it, or by the innermost
     *     open scope
     */
    Tensor next();

    /**
     * Returns a source of fresh noise.
     *
     * @param random draws it, not owned
     * @param shape (B, item shape)
     */
    static Noise of(RandomSource random, Shape shape) {
        return () -> random.normal(shape);
    }

    /**
     * Returns a source of fresh noise for items of a map.
     *
     * @param random draws it, not owned
     * @param batch B, the number of items, at least 1
     */
    static Noise of(RandomSource random, MetaFlowMap map, long batch) {
        Preconditions.checkArgument(batch >= 1, "noise: %s items, expected at least 1", batch);
        return of(random, map.itemShape().prepend(batch));
    }

    /**
     * Returns a source of given noise, each tensor once, in order: a sampler that needs more throws
     * {@link IllegalArgumentException}.
     *
     * @param tensors (B, item shape) each, not owned
     */
    static Noise of(Tensor... tensors) {
        for (Tensor tensor : tensors) {
            Preconditions.checkNotNull(tensor, "noise: a tensor is null");
        }
        List<Tensor> given = List.of(tensors);
        int[] used = {0};
        return () -> {
            Preconditions.checkArgument(
                    used[0] < given.size(),
                    "noise: only %s given, but the sampler needs more: it adds noise at each step",
                    given.size());
            return given.get(used[0]++);
        };
    }
}
