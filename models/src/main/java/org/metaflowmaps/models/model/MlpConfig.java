package org.metaflowmaps.models.model;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.google.common.base.Preconditions;
import java.util.Map;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;

/**
 * The shape of an {@link MlpFlowMap}.
 *
 * @param dimension numbers per item
 * @param width units of a hidden layer
 * @param depth number of residual blocks, of two layers each
 * @param labelDim number of classes; 0 for none
 * @param layout which inputs there are; a meta flow map's where a file leaves it out
 */
public record MlpConfig(
        @JsonProperty("dimension") int dimension,
        @JsonProperty("width") int width,
        @JsonProperty("depth") int depth,
        @JsonProperty("label_dim") int labelDim,
        @JsonProperty("layout") Layout layout)
        implements NetworkConfig {
    /** Fills in what a file may leave out, and checks the ranges. */
    @SuppressWarnings("ConstantValue")
    public MlpConfig {
        layout = layout == null ? Layout.META_FLOW_MAP : layout;
        Preconditions.checkArgument(dimension > 0, "mlp: dimension is %s, expected at least 1", dimension);
        Preconditions.checkArgument(width > 0, "mlp: width is %s, expected at least 1", width);
        Preconditions.checkArgument(depth >= 0, "mlp: depth is %s, expected 0 or more", depth);
        Preconditions.checkArgument(
                labelDim >= 0 && labelDim < Integer.MAX_VALUE, "mlp: label_dim is %s, expected 0 to 2^31-2", labelDim);
    }

    /** A meta flow map's network. */
    public MlpConfig(int dimension, int width, int depth, int labelDim) {
        this(dimension, width, depth, labelDim, Layout.META_FLOW_MAP);
    }

    /** The network of a flow or a flow map with these blocks. */
    public MlpConfig withoutContext() {
        return new MlpConfig(dimension, width, depth, labelDim, Layout.FLOW_MAP);
    }

    @Override
    public long parameterCount() {
        try {
            return Math.addExact(
                    NetworkConfig.count(MlpFlowMap.outside(this)),
                    Math.multiplyExact((long) depth, NetworkConfig.count(MlpFlowMap.block("", width))));
        } catch (ArithmeticException | IllegalArgumentException e) {
            throw new IllegalArgumentException(
                    "mlp: width " + width + " with depth " + depth
                            + " makes more parameters than 64 bits can count: lower them",
                    e);
        }
    }

    @Override
    public Map<String, Shape> parameterShapes() {
        return MlpFlowMap.shapes(this);
    }

    @Override
    public long tensorCount() {
        return MlpFlowMap.outside(this).size()
                + (long) depth * MlpFlowMap.block("", width).size();
    }

    @Override
    public double trainingFloats() {
        return (double) width * (10 + 8.0 * depth) + 4.0 * dimension;
    }

    @Override
    public double silentFloats() {
        return 8.0 * width + 4.0 * dimension;
    }

    @Override
    public MetaFlowMap zeros(Device device) {
        return MlpFlowMap.zeros(this, device);
    }

    @Override
    public MetaFlowMap initialised(Device device, RandomSource random) {
        return MlpFlowMap.initialised(this, device, random);
    }
}
