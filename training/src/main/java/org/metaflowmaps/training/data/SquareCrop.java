package org.metaflowmaps.training.data;

import com.fasterxml.jackson.annotation.JsonProperty;
import org.metaflowmaps.models.vision.image.ByteImage;
import org.metaflowmaps.models.vision.image.Filter;

/** How an image of any size becomes a square. */
public enum SquareCrop {
    /** guided-diffusion's crop: halves by boxes, then resizes by the cubic filter; the usual ImageNet latents have it. */
    @JsonProperty("adm")
    ADM,
    /** torchvision's {@code Resize} and {@code CenterCrop} of a Pillow image, by the linear filter, as in MFM. */
    @JsonProperty("torchvision")
    TORCHVISION;

    /**
     * Resizes an image by its short side and returns its middle.
     *
     * @param size rows and columns of the result, at least 1
     */
    public ByteImage of(ByteImage image, int size) {
        return switch (this) {
            case ADM -> image.admCrop(size);
            case TORCHVISION -> image.torchvisionCrop(size, Filter.BILINEAR);
        };
    }
}
