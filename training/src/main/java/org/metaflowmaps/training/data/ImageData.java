package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import java.util.List;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Labelled images in [-1, 1], in a new order each epoch; they stay on the device as bytes. */
public final class ImageData implements TrainingData {
    private static final double HALF_RANGE = 127.5;

    private final LabelledImages images;
    private final Tensor pixels;
    private final Tensor labels;
    private final EpochOrder order;
    private final int count;
    private final Flips flips;

    /**
     * A stream of the first images of a set.
     *
     * @param images where they come from
     * @param count how many of them to use, from the first on; the rest can be held out
     * @param seed determines the order of every epoch
     * @param device where batches are made
     */
    public ImageData(LabelledImages images, int count, long seed, Device device) {
        this(images, count, seed, false, device);
    }

    /**
     * Such a stream, of which items may be mirrored.
     *
     * @param flip whether half of the items, drawn by the seed and their place in the stream, are mirrored left to right
     */
    public ImageData(LabelledImages images, int count, long seed, boolean flip, Device device) {
        Preconditions.checkArgument(count > 0 && count <= images.count(), "%s images to train on, expected 1 to %s", count, images.count());
        this.images = images;
        this.count = count;
        this.flips = new Flips(flip, seed);
        this.pixels = pixels(images, 0, count, device).retain();
        try (TensorScope scope = TensorScope.open()) {
            this.labels = labels(images, 0, count, device).retain();
        }
        this.order = new EpochOrder(count, seed, device);
    }

    /** Raw bytes (N, C, H, W) of a range of images, in the innermost open scope. */
    private static Tensor pixels(LabelledImages images, int from, int to, Device device) {
        try (TensorScope scope = TensorScope.open()) {
            range(images, from, to);
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
        range(images, from, to);
        long[] values = new long[to - from];
        for (int i = 0; i < values.length; i++) {
            values[i] = images.label(from + i);
        }
        return Torch.of(values).to(device);
    }

    private static void range(LabelledImages images, int from, int to) {
        Preconditions.checkArgument(from >= 0 && from <= to && to <= images.count(),
                "images %s to below %s of %s, expected a range of them",
                from, to, images.count());
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
            Tensor items = flipped(normalised(pixels.indexSelect(0, index)), position);
            return new Batch(scope.keep(items), scope.keep(labels.indexSelect(0, index)));
        }
    }

    private Tensor flipped(Tensor items, long position) {
        if (!flips.on()) {
            return items;
        }
        float[] mirrored = new float[(int) items.size(0)];
        for (int i = 0; i < mirrored.length; i++) {
            mirrored[i] = flips.at(position + i) ? 1 : 0;
        }
        Tensor mask = Torch.of(mirrored, mirrored.length, 1, 1, 1).to(items.device()).gt(0.5);
        return Torch.where(mask, items.flip(3), items);
    }

    @Override
    public List<String> classNames() {
        return images.namedClasses();
    }

    @Override
    public int heldOut() {
        return images.count() - count;
    }

    @Override
    public Batch heldOut(int from, int wanted) {
        Preconditions.checkArgument(from >= 0 && wanted > 0 && (long) from + wanted <= heldOut(),
                "held-out items %s to %s, expected some of the %s there are",
                from, (long) from + wanted, heldOut());
        int first = count + from;
        return new Batch(items(images, first, first + wanted, pixels.device()), labels(images, first, first + wanted, pixels.device()));
    }

    @Override
    public String summary() {
        return images.count() + " images of " + images.height() + " x " + images.width() + " in " + classes() + " classes"
                + (heldOut() == 0 ? "" : ", the last " + heldOut() + " of them held out");
    }

    @Override
    public Batch examples(int wanted) {
        return batch(0, wanted);
    }

    @Override
    public void close() {
        order.close();
        pixels.close();
        labels.close();
    }
}
