package org.metaflowmaps.models.vision;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.Locale;
import org.metaflowmaps.models.vision.image.CropGeometry;
import org.metaflowmaps.models.vision.image.TensorResize;
import org.metaflowmaps.models.vision.image.TensorResize.Mode;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;

/**
 * The ways in which scores of images resize, crop and normalise pixels for CLIP's image tower. Scores of one network
 * differ between them, so a score is comparable only with those of the same preparation.
 *
 * <p>Those of tensors are differentiable. Those of files work on 8-bit pixels, as the networks' own programs read them
 * from an image file; they have no gradient.
 */
public enum ImagePreparation {
    /** HPS v2's of tensors: bicubic, the longest side fills the square, zeros fill the rest. */
    LONGEST_SIDE(true),
    /** imscore's for PickScore, ImageReward and the aesthetic predictor: bicubic, the middle square. */
    SHORT_SIDE(true),
    /** imscore's for CLIP scores: bilinear, the middle square. */
    SHORT_SIDE_BILINEAR(true),
    /** That of Meta Flow Maps for PickScore and CLIP: bicubic, never antialiased, with rounded sizes. */
    ROUNDED(true),
    /** HPS v2's of a file: 8-bit pixels, then as {@link #LONGEST_SIDE}. */
    FILE_LONGEST_SIDE(false),
    /** That of ImageReward, OpenAI's CLIP and the aesthetic predictor of a file: Pillow's bicubic, the middle square. */
    FILE_SHORT_SIDE(false),
    /** Hugging Face's of a file, for PickScore: as {@link #FILE_SHORT_SIDE}, with the crop's offset rounded down. */
    FILE_SHORT_SIDE_FLOOR(false);

    private static final double LEVELS = 255;
    private static final long MOST_SIDE = 4096;

    private final boolean differentiable;

    ImagePreparation(boolean differentiable) {
        this.differentiable = differentiable;
    }

    /** Returns true if gradients flow from the result to the images. */
    public boolean isDifferentiable() {
        return differentiable;
    }

    /** Returns true if antialiasing can be turned off: if a tensor is resized by the rules of PyTorch, with a choice. */
    public boolean hasAntialiasing() {
        return this == LONGEST_SIDE || this == SHORT_SIDE || this == SHORT_SIDE_BILINEAR || this == FILE_LONGEST_SIDE;
    }

    /**
     * Prepares images.
     *
     * @param images (batch, 3, height, width) in [0, 1], float32 or float64
     * @param side of the square that the network takes, 1 to 4096
     * @param antialiased false for tensors resized as by torchvision before 0.17; without effect unless
     *     {@link #hasAntialiasing}
     * @return (batch, 3, side, side) of the images' type, normalised by CLIP's mean and deviation, in the innermost open
     *     scope
     * @throws IllegalArgumentException for another shape or type
     */
    public Tensor prepare(Tensor images, long side, boolean antialiased) {
        checkArgument(
                images.dim() == 4
                        && images.size(1) == 3
                        && images.size(2) >= 1
                        && images.size(3) >= 1
                        && (images.dtype() == DType.FLOAT32 || images.dtype() == DType.FLOAT64),
                "images to prepare are %s, expected float32 or float64 (batch, 3, height, width)",
                images);
        checkArgument(side >= 1 && side <= MOST_SIDE, "side is %s, expected 1 to %s", side, MOST_SIDE);
        if (differentiable) {
            return tensor(images, Math.toIntExact(side), antialiased);
        }
        try (Autograd.Mode off = Autograd.noGrad()) {
            return file(images, side, antialiased);
        }
    }

    private Tensor tensor(Tensor images, int side, boolean antialiased) {
        return switch (this) {
            case SHORT_SIDE -> ClipImages.cropped(images, side, antialiased);
            case SHORT_SIDE_BILINEAR ->
                ImageLayers.block(
                        images,
                        x -> ImageLayers.clipNormalised(TensorResize.torchvisionCrop(
                                x, side, antialiased ? Mode.BILINEAR_ANTIALIASED : Mode.BILINEAR)));
            case ROUNDED ->
                ImageLayers.block(
                        images,
                        x -> ImageLayers.clipNormalised(TensorResize.resizeCrop(
                                x,
                                CropGeometry.rounded(Math.toIntExact(x.size(2)), Math.toIntExact(x.size(3)), side),
                                Mode.BICUBIC)));
            default -> ClipImages.padded(images, side, antialiased);
        };
    }

    private Tensor file(Tensor images, long side, boolean antialiased) {
        return ImageLayers.block(images, x -> {
            Tensor levels = x.clampMin(0).clampMax(1).mul(LEVELS).add(0.5).floor();
            if (this == FILE_LONGEST_SIDE) {
                return ClipImages.padded(levels.div(LEVELS), side, antialiased);
            }
            Tensor resized = ClipImages.pillow(levels.to(DType.UINT8), side, this == FILE_SHORT_SIDE_FLOOR);
            return ImageLayers.clipNormalised(
                    resized.to(x.device()).to(x.dtype()).div(LEVELS));
        });
    }

    /** Returns the resizing in words, such as "bicubic, antialiased". */
    public String describe(boolean antialiased) {
        String filter = this == SHORT_SIDE_BILINEAR ? "bilinear" : "bicubic";
        if (this == FILE_SHORT_SIDE || this == FILE_SHORT_SIDE_FLOOR) {
            return "Pillow's bicubic of 8-bit pixels";
        }
        boolean smooth = antialiased && hasAntialiasing();
        return String.format(
                Locale.ROOT,
                "%s, %s%s",
                filter,
                smooth ? "antialiased" : "not antialiased",
                this == FILE_LONGEST_SIDE ? ", of 8-bit pixels" : "");
    }
}
