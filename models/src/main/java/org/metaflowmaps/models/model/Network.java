package org.metaflowmaps.models.model;

import java.util.Map;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;

/** Something with trained parameters: what loading, saving and optimising need to know of it. */
public interface Network extends AutoCloseable {
    /** The trained parameters, owned by this network. */
    ParameterArena parameters();

    /**
     * Tensors that belong to the network but are not trained, by checkpoint name, owned by this network.
     *
     * @return none, unless the network has some
     */
    default Map<String, Tensor> buffers() {
        return Map.of();
    }

    /** Frees the parameters and buffers. */
    @Override
    void close();
}
