package org.metaflowmaps.models.model;

import java.util.Map;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;

/** An object with trained parameters, for loading, saving and optimising. */
public interface Network extends AutoCloseable {
    /** The trained parameters, owned by this network. */
    ParameterArena parameters();

    /**
     * Returns tensors that are not trained, by checkpoint name, owned by this network.
     *
     * @return empty by default
     */
    default Map<String, Tensor> buffers() {
        return Map.of();
    }

    /** Frees the parameters and buffers. */
    @Override
    void close();
}
