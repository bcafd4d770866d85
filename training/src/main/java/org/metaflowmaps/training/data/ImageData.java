package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Labelled images in [-1, 1], shuffled anew each epoch; they stay on the device as bytes. */
public final class ImageData implements TrainingData {
    private static final double HALF_RANGE = 127.5;

    private final LabelledImages images;
    private final Tensor pixels;
    private final Tensor labels;
    private final EpochOrder order;

    /**
     * A stream of the first images of a set.
     *
     * @param images where they come from
     * @param count how many of them to use, from the first on; the rest can be held out
     * @param seed determines the order of every epoch
     * @param device where batches are made
     */
    public ImageData(LabelledImages images, int count, long seed, Device device) {
        Preconditions.checkArgument(count > 0 && count <= images.count(), "%s images to train on, expected 1 to %s", count, images.count());
        this.images = images;
        this.pixels = pixels(images, 0, count, device).retain();
        try (TensorScope scope = TensorScope.open()) {
            this.labels = labels(images, 0, count, device).retain();
        }
        this.order = new EpochOrder(count, seed, device);
    }

    /** Raw bytes (N, C, H, W) of a range of images, in the innermost open scope. */
    private static Tensor pixels(LabelledImages images, int from, int to, Device device) {
        try (TensorScope scope = TensorScope.open()) {
            long size = images.imageSize();
            Tensor bytes = Torch.empty(DType.UINT8, Device.CPU, to - from, images.channels(), images.height(), images.width());
            bytes.segment().copyFrom(images.pixels().asSlice(from * size, (to - from) * size));
            return scope.keep(bytes.to(device));
        }
    }

    /**
     * A range of images as the networks see them.
     *
     * @return (to - from, C, H, W) in [-1, 1], in the innermost open scope
     */
    public static Tensor items(LabelledImages images, int from, int to, Device device) {
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(normalised(pixels(images, from, to, device)));
        }
    }

    /**
     * The labels of a range of images.
     *
     * @return (to - from) int64, in the innermost open scope
     */
    public static Tensor labels(LabelledImages images, int from, int to, Device device) {
        long[] values = new long[to - from];
        for (int i = 0; i < values.length; i++) {
            values[i] = images.label(from + i);
        }
        return Torch.of(values).to(device);
    }

    /** Bytes as the networks see them. */
    static Tensor normalised(Tensor bytes) {
        return bytes.to(DType.FLOAT32).div(HALF_RANGE).sub(1);
    }

    @Override
    public long[] itemShape() {
        return new long[] {images.channels(), images.height(), images.width()};
    }

    @Override
    public int classes() {
        return images.classNames().size();
    }

    @Override
    public Batch batch(long position, int size) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor index = order.indices(position, size);
            Tensor items = normalised(pixels.indexSelect(0, index));
            return new Batch(scope.keep(items), scope.keep(labels.indexSelect(0, index)));
        }
    }

    @Override
    public void close() {
        order.close();
        pixels.close();
        labels.close();
    }
}
