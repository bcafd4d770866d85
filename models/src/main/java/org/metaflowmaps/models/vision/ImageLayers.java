package org.metaflowmaps.models.vision;

import com.google.common.base.Preconditions;
import java.util.function.UnaryOperator;
import org.metaflowmaps.models.layer.Weights;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.OneDnn;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.Workers;

/** Layers over frozen weights that are found by name. */
final class ImageLayers {
    private static final long[] ONE = {1, 1};
    /** With fewer rows a linear layer reads more weights than it computes. */
    private static final long LEAST_ROWS = 16;

    private static final double[] CLIP_MEAN = {0.48145466, 0.4578275, 0.40821073};
    private static final double[] CLIP_DEVIATION = {0.26862954, 0.26130258, 0.27577711};

    private ImageLayers() {}

    /** A convolution with bias and stride 1, whose output has the input's size. */
    static Tensor conv(Weights weights, String name, Tensor input) {
        Tensor weight = weights.get(name + ".weight");
        long padding = weight.size(2) / 2;
        return Torch.conv2d(input, weight, weights.get(name + ".bias"), ONE, new long[] {padding, padding}, 1);
    }

    /**
     * A linear layer. In float32 on several threads it is a 1 x 1 convolution if its gradient is recorded, because
     * oneDNN shares that out over libtorch's own threads, as it does products without gradients. BLAS has a second pool,
     * whose threads wait for each other by spinning: on a busy machine products are then many times slower.
     */
    static Tensor linear(Weights weights, String name, Tensor input) {
        Tensor weight = weights.get(name + ".weight");
        Tensor bias = weights.get(name + ".bias");
        long in = weight.size(1);
        long rows = input.numel() / in;
        if (rows < LEAST_ROWS
                || input.dtype() != DType.FLOAT32
                || weight.dtype() != DType.FLOAT32
                || weight.device().type() != Device.Type.CPU
                || Autocast.isOn(Device.Type.CPU)
                || Workers.count() == 1
                || OneDnn.computes(input, weight)) {
            return Torch.linear(input, weight, bias);
        }
        return pointwise(input, weight, bias);
    }

    /** {@link Torch#linear} as a convolution with the channels last, which copies nothing. */
    static Tensor pointwise(Tensor input, Tensor weight, Tensor bias) {
        long out = weight.size(0);
        long in = weight.size(1);
        long[] shape = input.shape().sizes().toArray();
        shape[shape.length - 1] = out;
        return block(
                input,
                x -> Torch.conv2d(
                                x.reshape(1, 1, x.numel() / in, in).permute(0, 3, 1, 2),
                                weight.view(out, in, 1, 1),
                                bias,
                                0)
                        .permute(0, 2, 3, 1)
                        .reshape(shape));
    }

    /** In the type of the weights, because under autocast convolutions and products return bfloat16. */
    static Tensor groupNorm(Weights weights, String name, Tensor input, long groups, double eps) {
        Tensor weight = weights.get(name + ".weight");
        return Torch.groupNorm(input.to(weight.dtype()), groups, weight, weights.get(name + ".bias"), eps);
    }

    /** In the type of the weights: see {@link #groupNorm}. */
    static Tensor layerNorm(Weights weights, String name, Tensor input, double eps) {
        Tensor weight = weights.get(name + ".weight");
        return Torch.layerNorm(input.to(weight.dtype()), weight, weights.get(name + ".bias"), eps);
    }

    /**
     * Returns the same values, on the CPU with the channels last in memory, the fastest order for oneDNN's convolutions;
     * operators keep it. Not for networks with group norms: there libtorch then computes variances as differences of two
     * sums, which loses digits where a mean is far from zero.
     */
    static Tensor channelsLast(Tensor images) {
        if (images.device().type() != Device.Type.CPU) {
            return images;
        }
        return block(images, x -> x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2));
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

    /**
     * Subtracts CLIP's mean of each channel from pixels in [0, 1], and divides by its deviation. Numbers instead of
     * tensors, because a tensor would be uploaded to the device at each call.
     */
    static Tensor clipNormalised(Tensor images) {
        return block(images, x -> {
            Tensor[] channels = new Tensor[CLIP_MEAN.length];
            for (int i = 0; i < channels.length; i++) {
                channels[i] = x.narrow(1, i, 1).sub(CLIP_MEAN[i]).div(CLIP_DEVIATION[i]);
            }
            return Torch.cat(1, channels);
        });
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

    /** As {@link #images} for square images that hold that many patches; pixels beyond the last patch have no effect. */
    static Tensor square(String operation, Tensor images, Tensor patches, long tokens, DType type) {
        Tensor given = images(operation, images, 3, type);
        long patch = patches.size(2);
        long count = Math.round(Math.sqrt((double) tokens - 1));
        Preconditions.checkArgument(
                given.size(2) / patch == count && given.size(3) / patch == count,
                "%s: images are %s, expected %s x %s pixels",
                operation,
                images,
                count * patch,
                count * patch);
        return given;
    }

    /** Checks token ids (batch, length). */
    static Tensor ids(String operation, Tensor ids, long most) {
        Preconditions.checkNotNull(ids, "%s: the token ids are null", operation);
        Preconditions.checkArgument(
                ids.dim() == 2 && ids.dtype() == DType.INT64 && ids.size(1) >= 1 && ids.size(1) <= most,
                "%s: token ids are %s, expected int64 (batch, 1 to %s)",
                operation,
                ids,
                most);
        return ids;
    }

    /** Makes tokens of patches (batch, width, rows, columns), with one more token first, and adds positions. */
    static Tensor tokens(Tensor patches, Tensor first, Tensor positions) {
        long batch = patches.size(0);
        long width = patches.size(1);
        Tensor flat = patches.reshape(batch, width, -1).transpose(1, 2);
        return Torch.cat(1, first.reshape(1, 1, width).expand(batch, 1, width), flat)
                .add(positions);
    }

    /** Converts a result of bfloat16 weights to float32. */
    static Tensor result(Tensor output) {
        return output.dtype() == DType.BFLOAT16 ? output.to(DType.FLOAT32) : output;
    }
}
