package org.metaflowmaps.models.vision;

import com.google.common.base.Preconditions;
import java.util.function.UnaryOperator;
import org.metaflowmaps.models.layer.Weights;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Layers over frozen weights that are found by name. */
final class ImageLayers {
    private static final long[] ONE = {1, 1};

    private ImageLayers() {}

    /** A convolution with bias and stride 1, whose output has the input's size. */
    static Tensor conv(Weights weights, String name, Tensor input) {
        Tensor weight = weights.get(name + ".weight");
        long padding = weight.size(2) / 2;
        return Torch.conv2d(input, weight, weights.get(name + ".bias"), ONE, new long[] {padding, padding}, 1);
    }

    static Tensor linear(Weights weights, String name, Tensor input) {
        return Torch.linear(input, weights.get(name + ".weight"), weights.get(name + ".bias"));
    }

    static Tensor groupNorm(Weights weights, String name, Tensor input, long groups, double eps) {
        return Torch.groupNorm(input, groups, weights.get(name + ".weight"), weights.get(name + ".bias"), eps);
    }

    static Tensor layerNorm(Weights weights, String name, Tensor input, double eps) {
        return Torch.layerNorm(input, weights.get(name + ".weight"), weights.get(name + ".bias"), eps);
    }

    /** Nearest upsampling by 2. */
    static Tensor doubled(Tensor input) {
        return Torch.upsampleNearest2d(input, 2 * input.size(2), 2 * input.size(3));
    }

    /** Runs a block and frees its intermediate tensors; what a gradient needs stays in its graph. */
    static Tensor block(Tensor input, UnaryOperator<Tensor> body) {
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(body.apply(input));
        }
    }

    /** Divides rows by their Euclidean norms; a row of zeros stays zero, also in the gradient. */
    static Tensor unit(Tensor rows) {
        return block(rows, x -> x.div(x.square().sumKeepDim(-1).clampMin(1e-24).sqrt()));
    }

    /** Checks images (batch, channels, height, width) and converts them to the type of the weights. */
    static Tensor images(String operation, Tensor images, long channels, DType type) {
        Preconditions.checkNotNull(images, "%s: the images are null", operation);
        Preconditions.checkArgument(
                images.dim() == 4
                        && images.size(1) == channels
                        && images.dtype().isFloatingPoint(),
                "%s: images are %s, expected floating-point (batch, %s, height, width)",
                operation,
                images,
                channels);
        return images.to(type);
    }

    /** Converts a result of bfloat16 weights to float32. */
    static Tensor result(Tensor output) {
        return output.dtype() == DType.BFLOAT16 ? output.to(DType.FLOAT32) : output;
    }
}
