package org.metaflowmaps.models.model;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.google.common.base.Preconditions;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The network's configuration: exactly one of the two kinds.
 *
 * @param transformer for images
 * @param mlp for vectors of a few dimensions
 */
public record ModelConfig(
        @JsonProperty("transformer") @Nullable TransformerConfig transformer,
        @JsonProperty("mlp") @Nullable MlpConfig mlp) {
    /** Checks that exactly one is given, and that its number of parameters does not overflow. */
    public ModelConfig {
        Preconditions.checkArgument(
                (transformer == null) != (mlp == null),
                "config: model needs either 'transformer' or 'mlp' and null for the other, %s given",
                transformer == null ? "neither is" : "both are");
        if (transformer != null) {
            transformer.parameterCount();
        } else if (mlp != null) {
            mlp.parameterCount();
        }
    }

    /**
     * Returns the configuration of a network of either kind.
     *
     * @throws IllegalArgumentException if its number of parameters does not fit in 64 bits
     */
    public static ModelConfig of(NetworkConfig network) {
        return switch (Objects.requireNonNull(network, "network")) {
            case TransformerConfig transformer -> new ModelConfig(transformer, null);
            case MlpConfig mlp -> new ModelConfig(null, mlp);
        };
    }

    /** Returns the given one of the two. */
    public NetworkConfig network() {
        return transformer != null ? transformer : Objects.requireNonNull(mlp);
    }
}
