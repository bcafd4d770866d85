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
 * @param layout the network's inputs; a meta flow map's if missing in a file
 */
public record MlpConfig(
        @JsonProperty("dimension") int dimension,
        @JsonProperty("width") int width,
        @JsonProperty("depth") int depth,
        @JsonProperty("label_dim") int labelDim,
        @JsonProperty("layout") Layout layout)
        implements NetworkConfig {
    /** Sets defaults for missing values, and checks the ranges. */
    @SuppressWarnings("ConstantValue")
    public MlpConfig {
        layout = layout == null ? Layout.META_FLOW_MAP : layout;
        Preconditions.checkArgument(dimension > 0, "mlp: dimension is %s, expected at least 1", dimension);
        Preconditions.checkArgument(width > 0, "mlp: width is %s, expected at least 1", width);
        Preconditions.checkArgument(depth >= 0, "mlp: depth is %s, expected 0 or more", depth);
        Preconditions.checkArgument(
                labelDim >= 0 && labelDim < Integer.MAX_VALUE, "mlp: label_dim is %s, expected 0 to 2^31-2", labelDim);
    }

    /** Returns the network of a flow or a flow map with these blocks. */
    public MlpConfig withoutContext() {
        return toBuilder().layout(Layout.FLOW_MAP).build();
    }

    /** Returns a builder with the defaults of training's configuration; the dimension has none. */
    public static Builder builder() {
        return new Builder();
    }

    /** Returns a builder with these settings. */
    public Builder toBuilder() {
        return new Builder()
                .dimension(dimension)
                .width(width)
                .depth(depth)
                .labelDim(labelDim)
                .layout(layout);
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

    /** A builder; by default no classes, and the layout of a meta flow map. */
    public static final class Builder {
        private int dimension;
        private int width = 128;
        private int depth = 3;
        private int labelDim;
        private Layout layout = Layout.META_FLOW_MAP;

        private Builder() {}

        /** Sets the numbers per item. */
        public Builder dimension(int dimension) {
            this.dimension = dimension;
            return this;
        }

        /** Sets the units of a hidden layer. */
        public Builder width(int width) {
            this.width = width;
            return this;
        }

        /** Sets the number of residual blocks. */
        public Builder depth(int depth) {
            this.depth = depth;
            return this;
        }

        /** Sets the number of classes; 0 for none. */
        public Builder labelDim(int labelDim) {
            this.labelDim = labelDim;
            return this;
        }

        /** Sets the network's inputs. */
        public Builder layout(Layout layout) {
            this.layout = layout;
            return this;
        }

        /**
         * Returns the configuration.
         *
         * @throws IllegalArgumentException if the dimension is missing, or a value is out of range
         */
        public MlpConfig build() {
            return new MlpConfig(dimension, width, depth, labelDim, layout);
        }
    }
}
