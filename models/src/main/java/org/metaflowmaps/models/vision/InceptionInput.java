package org.metaflowmaps.models.vision;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.vision.image.TensorResize;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;

/** How an evaluator of FID prepares images for {@link FidInception}; values of FID differ between them. */
public enum InceptionInput {
    /**
     * TensorFlow 1's bilinear resizing without half pixels, then (x - 128) / 128: the evaluators of TensorFlow, ADM,
     * torch-fidelity and NVIDIA.
     */
    TENSORFLOW {
        @Override
        Tensor resized(Tensor images) {
            return TensorResize.tensorflow1(images, SIDE, SIDE).sub(128).div(128);
        }
    },
    /** Bilinear resizing with half pixels, then x / 127.5 - 1: pytorch-fid. */
    PYTORCH_FID {
        @Override
        Tensor resized(Tensor images) {
            return TensorResize.resize(images, SIDE, SIDE, TensorResize.Mode.BILINEAR)
                    .div(255)
                    .mul(2)
                    .sub(1);
        }
    },
    /**
     * Cubic resizing with antialiasing as Pillow's mode F does it, clipped to 0 to 255 without rounding, then (x - 128) /
     * 128: clean-fid (Parmar et al., arXiv 2104.11222).
     */
    CLEAN_FID {
        @Override
        Tensor resized(Tensor images) {
            // Pillow's weights are float64; float32 weights would change levels by up to 0.003.
            return TensorResize.resize(images.to(DType.FLOAT64), SIDE, SIDE, TensorResize.Mode.BICUBIC_ANTIALIASED)
                    .clampMin(0)
                    .clampMax(255)
                    .to(images.dtype())
                    .sub(128)
                    .div(128);
        }
    };

    /** The side of the network's images. */
    public static final int SIDE = 299;

    abstract Tensor resized(Tensor images);

    /**
     * Prepares images.
     *
     * @param images (batch, 3, height, width), 0 to 255, of type uint8 or with whole numbers
     * @param type of the result, float32 or float64
     * @return (batch, 3, 299, 299) on the images' device
     * @throws IllegalArgumentException for another shape
     */
    public Tensor prepare(Tensor images, DType type) {
        Preconditions.checkArgument(
                images.dim() == 4 && images.size(1) == 3 && images.numel() > 0,
                "prepare: images are %s, expected (batch, 3, height, width)",
                images);
        return ImageLayers.block(images, given -> resized(given.to(type)));
    }
}
