package org.metaflowmaps.cli.command;

import java.util.List;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.report.ImageGrid;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.LatentDecoder;

/**
 * How a map's items are shown: pixels unchanged, latents decoded if there is an autoencoder, else three channels of them.
 *
 * @param item the shape of items (C, H, W)
 * @param latents not owned; null for none
 */
record VisibleItems(Shape item, @Nullable LatentDecoder latents) {
    /** Images decoded at once; decoding all at once could exceed a GPU's memory. */
    private static final long AT_ONCE = 64;

    /** Images with longer sides are not enlarged. */
    private static final long SMALL = 128;

    /** Returns the shape of images (channels, height, width). */
    Shape shape() {
        LatentDecoder decoder = latents;
        if (decoder == null) {
            return Shape.of(ImageGrid.shownChannels(item), item.size(1), item.size(2));
        }
        long factor = decoder.autoencoder().factor();
        return Shape.of(3, factor * item.size(1), factor * item.size(2));
    }

    /** Returns the enlargement of a picture. */
    int enlargement() {
        return shape().size(1) <= SMALL && shape().size(2) <= SMALL ? 2 : 1;
    }

    /** Begins a picture. */
    ImageGrid grid(List<String> columns) {
        Shape shape = shape();
        return new ImageGrid((int) shape.size(0), (int) shape.size(1), (int) shape.size(2), columns);
    }

    /** Throws if a picture would not fit in Java's memory. */
    void requireRoom(long rows, long columns) {
        ImageGrid.requireRoom(rows, columns, shape(), enlargement());
    }

    /** Returns the values of images for a picture. */
    float[] pixels(Tensor items) {
        try (TensorScope scope = TensorScope.open()) {
            return (latents == null ? ImageGrid.visible(items) : images(items))
                    .contiguous()
                    .toFloatArray();
        }
    }

    /** Returns images, roughly in [-1, 1], on the CPU and in the innermost open scope: decoded latents, or the items. */
    Tensor images(Tensor items) {
        LatentDecoder decoder = latents;
        if (decoder == null) {
            return items;
        }
        Device device = decoder.autoencoder().parameters().values().device();
        long count = items.size(0);
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor images = Torch.empty(DType.FLOAT32, Device.CPU, shape().prepend(count));
            for (long from = 0; from < count; from += AT_ONCE) {
                try (TensorScope part = TensorScope.open()) {
                    long size = Math.min(AT_ONCE, count - from);
                    images.narrow(0, from, size)
                            .copy_(decoder.pixels(items.narrow(0, from, size).to(device)));
                }
            }
            return scope.keep(images);
        }
    }
}
