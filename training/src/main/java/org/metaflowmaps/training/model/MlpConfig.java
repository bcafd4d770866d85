package org.metaflowmaps.training.model;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.google.common.base.Preconditions;

/**
 * The shape of an {@link MlpFlowMap}.
 *
 * @param dimension numbers per item
 * @param width units of a hidden layer
 * @param depth number of residual blocks, of two layers each
 * @param labelDim number of classes; 0 for none
 */
public record MlpConfig(
        @JsonProperty("dimension") int dimension,
        @JsonProperty("width") int width,
        @JsonProperty("depth") int depth,
        @JsonProperty("label_dim") int labelDim) {
    /** Checks the ranges. */
    public MlpConfig {
        Preconditions.checkArgument(dimension > 0, "mlp: dimension is %s, expected at least 1", dimension);
        Preconditions.checkArgument(width > 0, "mlp: width is %s, expected at least 1", width);
        Preconditions.checkArgument(depth >= 0, "mlp: depth is %s, expected 0 or more", depth);
        Preconditions.checkArgument(labelDim >= 0, "mlp: label_dim is %s, expected 0 or more", labelDim);
    }
}
