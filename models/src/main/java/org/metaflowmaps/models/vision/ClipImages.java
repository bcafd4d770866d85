package org.metaflowmaps.models.vision;

import org.metaflowmaps.models.vision.image.ByteImage;
import org.metaflowmaps.models.vision.image.CropGeometry;
import org.metaflowmaps.models.vision.image.Filter;
import org.metaflowmaps.models.vision.image.TensorResize;
import org.metaflowmaps.models.vision.image.TensorResize.Mode;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** The ways in which scores of images prepare pixels for CLIP; results are normalised except those of bytes. */
final class ClipImages {
    /** Images whose largest value exceeds this are taken for levels 0 to 255. */
    private static final double LEVELS = 2.5;

    private ClipImages() {}

    /** MFM's: cubic without antialiasing, rounded sizes; levels 0 to 255 are divided by 255. */
    static Tensor rounded(Tensor images, long side) {
        return ImageLayers.block(images, x -> {
            boolean levels = x.detach().max().item() > LEVELS;
            return ImageLayers.clipNormalised(TensorResize.resizeCrop(
                    levels ? x.div(255) : x,
                    CropGeometry.rounded(size(x, 2), size(x, 3), Math.toIntExact(side)),
                    Mode.BICUBIC));
        });
    }

    /** imscore's for PickScore, ImageReward and the aesthetic predictor: torchvision's resizing and crop of tensors. */
    static Tensor cropped(Tensor images, long side, boolean antialiased) {
        return ImageLayers.block(
                images,
                x -> ImageLayers.clipNormalised(
                        TensorResize.torchvisionCrop(x, Math.toIntExact(side), mode(antialiased))));
    }

    /** HPS v2's: the longest side gets the size, and zeros fill the square. */
    static Tensor padded(Tensor images, long side, boolean antialiased) {
        return ImageLayers.block(images, x -> {
            double scale = side / (double) Math.max(x.size(2), x.size(3));
            long height = (long) Math.rint(x.size(2) * scale);
            long width = (long) Math.rint(x.size(3) * scale);
            Tensor resized = scale == 1 ? x : TensorResize.resize(x, height, width, mode(antialiased));
            long top = (side - height) / 2;
            long left = (side - width) / 2;
            return ImageLayers.clipNormalised(
                    Torch.pad(resized, new long[] {left, side - width - left, top, side - height - top}, 0));
        });
    }

    /**
     * The middle squares of uint8 images, resized by Pillow: the official preparation of PickScore and ImageReward.
     *
     * @param floor true if the crop's offset is rounded down, as Hugging Face does; else to even, as torchvision does
     */
    static Tensor pillow(Tensor images, long side, boolean floor) {
        int size = Math.toIntExact(side);
        int height = size(images, 2);
        int width = size(images, 3);
        CropGeometry even = CropGeometry.torchvision(height, width, size);
        CropGeometry geometry = floor
                ? new CropGeometry(
                        even.height(), even.width(), (even.height() - size) / 2, (even.width() - size) / 2, size)
                : even;
        Tensor[] items = new Tensor[size(images, 0)];
        try (TensorScope scope = TensorScope.open()) {
            for (int i = 0; i < items.length; i++) {
                byte[][] planes = new byte[size(images, 1)][];
                for (int channel = 0; channel < planes.length; channel++) {
                    planes[channel] = bytes(images.select(0, i).select(0, channel));
                }
                items[i] = ByteImage.of(planes, height, width)
                        .resizeCrop(geometry, Filter.BICUBIC)
                        .tensor();
            }
            return scope.keep(Torch.stack(0, items));
        }
    }

    /** Returns the levels 0 to 255 of a uint8 tensor. */
    static byte[] bytes(Tensor image) {
        long[] levels = image.toLongArray();
        byte[] bytes = new byte[levels.length];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) levels[i];
        }
        return bytes;
    }

    private static Mode mode(boolean antialiased) {
        return antialiased ? Mode.BICUBIC_ANTIALIASED : Mode.BICUBIC;
    }

    private static int size(Tensor images, int dim) {
        return Math.toIntExact(images.size(dim));
    }
}
