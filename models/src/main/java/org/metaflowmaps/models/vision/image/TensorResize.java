package org.metaflowmaps.models.vision.image;

import com.google.common.base.Preconditions;
import java.util.Arrays;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Resizes tensors of images (batch, channels, height, width); gradients flow through.
 *
 * <p>Results belong to the innermost open scope.
 */
public final class TensorResize {
    /** How PyTorch's {@code interpolate} weighs pixels; never with aligned corners. */
    public enum Mode {
        /** The two nearest pixels. */
        BILINEAR,
        /** The four nearest pixels. */
        BICUBIC,
        /** A triangle that widens with the reduction. */
        BILINEAR_ANTIALIASED,
        /** A cubic that widens with the reduction. */
        BICUBIC_ANTIALIASED
    }

    private TensorResize() {}

    /**
     * Resizes as PyTorch's {@code interpolate} does.
     *
     * @param images (batch, channels, height, width), float32 or float64
     * @return (batch, channels, {@code height}, {@code width}); cubic modes may exceed the range of the input
     */
    public static Tensor resize(Tensor images, long height, long width, Mode mode) {
        return switch (mode) {
            case BILINEAR -> Torch.interpolateBilinear2d(images, height, width);
            case BICUBIC -> Torch.interpolateBicubic2d(images, height, width);
            case BILINEAR_ANTIALIASED -> Torch.upsampleBilinear2d(images, height, width);
            case BICUBIC_ANTIALIASED -> Torch.upsampleBicubic2d(images, height, width);
        };
    }

    /**
     * Resizes images and cuts out the square.
     *
     * @param images (batch, channels, height, width), float32 or float64
     * @param geometry for this height and width
     * @return (batch, channels, size, size)
     */
    public static Tensor resizeCrop(Tensor images, CropGeometry geometry, Mode mode) {
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(resize(images, geometry.height(), geometry.width(), mode)
                    .narrow(2, geometry.top(), geometry.size())
                    .narrow(3, geometry.left(), geometry.size()));
        }
    }

    /**
     * Resizes the short side and returns the middle square, as torchvision's {@code Resize} and {@code CenterCrop} do
     * with tensors. torchvision resizes tensors with antialiasing from version 0.17 on.
     *
     * @param images (batch, channels, height, width), float32 or float64
     * @return (batch, channels, size, size)
     */
    public static Tensor torchvisionCrop(Tensor images, int size, Mode mode) {
        checkImages(images);
        return resizeCrop(
                images,
                CropGeometry.torchvision(Math.toIntExact(images.size(2)), Math.toIntExact(images.size(3)), size),
                mode);
    }

    /**
     * Resizes as TensorFlow 1 did, and with it the published FID statistics: the two nearest pixels, of which the first
     * new pixel is the first old one (no half-pixel offset), without antialiasing.
     *
     * @param images (batch, channels, height, width), uint8 or of a floating-point type
     * @param height rows of the result, 1 to 65,536
     * @param width columns of the result, 1 to 65,536
     * @return (batch, channels, {@code height}, {@code width}); float32 for uint8, else of the input's type
     */
    public static Tensor tensorflow1(Tensor images, int height, int width) {
        checkImages(images);
        Resampling.checkSide(height, width);
        try (TensorScope scope = TensorScope.open()) {
            Tensor values = images.dtype() == DType.UINT8 ? images.to(DType.FLOAT32) : images;
            return scope.keep(mixed(mixed(values, 3, width), 2, height));
        }
    }

    private static Tensor mixed(Tensor images, int dim, int count) {
        int size = Math.toIntExact(images.size(dim));
        // TensorFlow divides in float32.
        double scale = (float) size / (float) count;
        long[] lower = new long[count];
        long[] upper = new long[count];
        double[] share = new double[count];
        for (int i = 0; i < count; i++) {
            lower[i] = Math.min((long) (i * scale), size - 1);
            upper[i] = Math.min(lower[i] + 1, size - 1);
            share[i] = i * scale - lower[i];
        }
        long[] shape = new long[4];
        Arrays.fill(shape, 1);
        shape[dim] = count;
        Tensor weight = Torch.of(share, shape).to(images.dtype()).to(images.device());
        Tensor low = images.indexSelect(dim, Torch.of(lower).to(images.device()));
        Tensor high = images.indexSelect(dim, Torch.of(upper).to(images.device()));
        return low.add(high.sub(low).mul(weight));
    }

    private static void checkImages(Tensor images) {
        Preconditions.checkArgument(
                images.dim() == 4 && images.size(2) > 0 && images.size(3) > 0,
                "images are %s, expected (batch, channels, height, width) with at least one pixel",
                images);
    }
}
