package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Objects;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Items of labelled images in [-1, 1]; a loader keeps them on the device as bytes. */
public final class ImageData implements Items {
    private static final double HALF_RANGE = 127.5;

    private final LabelledImages images;

    /**
     * Makes items of a set of images. The last ones are held out.
     *
     * @param images the images
     */
    public ImageData(LabelledImages images) {
        this.images = images;
    }

    /** Opens the set of a configuration. */
    static ImageData open(DataConfig config) throws IOException {
        return new ImageData(Datasets.images(config));
    }

    /** Returns the raw bytes (N, C, H, W) of a range of images, in the innermost open scope. */
    private static Tensor pixels(LabelledImages images, int from, int to, Device device) {
        try (TensorScope scope = TensorScope.open()) {
            range(images, from, to);
            long size = images.imageSize();
            Tensor bytes =
                    Torch.empty(DType.UINT8, Device.CPU, to - from, images.channels(), images.height(), images.width());
            bytes.segment().copyFrom(images.pixels().asSlice(from * size, (to - from) * size));
            return scope.keep(bytes.to(device));
        }
    }

    /**
     * Returns a range of images as input of a network.
     *
     * @return (to - from, C, H, W) in [-1, 1], in the innermost open scope
     */
    public static Tensor items(LabelledImages images, int from, int to, Device device) {
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(normalised(pixels(images, from, to, device)));
        }
    }

    /**
     * Returns the labels of a range of images.
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
        Preconditions.checkArgument(
                from >= 0 && from <= to && to <= images.count(),
                "images %s to below %s of %s, expected a range of them",
                from,
                to,
                images.count());
    }

    /** Converts bytes to a network's input. */
    static Tensor normalised(Tensor bytes) {
        return bytes.to(DType.FLOAT32).div(HALF_RANGE).sub(1);
    }

    @Override
    public int count() {
        return images.count();
    }

    @Override
    public Shape itemShape() {
        return Shape.of(images.channels(), images.height(), images.width());
    }

    @Override
    public int classes() {
        return images.classNames().size();
    }

    @Override
    public List<String> classNames() {
        return images.namedClasses();
    }

    @Override
    public int label(int index) {
        return images.label(index);
    }

    @Override
    public DType storedType() {
        return DType.UINT8;
    }

    @Override
    public void read(int index, MemorySegment row) {
        long size = images.imageSize();
        row.copyFrom(images.pixels().asSlice(Objects.checkIndex(index, images.count()) * size, size));
    }

    @Override
    public Tensor decode(Tensor stored, Supplier<Tensor> noise) {
        return normalised(stored);
    }

    @Override
    public boolean isInMemory() {
        return true;
    }

    @Override
    public void requireMirrorable() {
        // Mirrored images are valid items.
    }

    @Override
    public int[] heldOut(int count) {
        Preconditions.checkArgument(
                count >= 0 && count < images.count(),
                "config: data.hold_out is %s, the set has %s images",
                count,
                images.count());
        return IntStream.range(images.count() - count, images.count()).toArray();
    }

    @Override
    public String summary(int heldOut) {
        return images.count() + " images of " + images.height() + " x " + images.width() + " in " + classes()
                + " classes" + (heldOut == 0 ? "" : ", the last " + heldOut + " of them held out");
    }
}
