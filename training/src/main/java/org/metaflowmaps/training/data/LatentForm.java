package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import java.util.Locale;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/** What the channels of stored latents are. */
enum LatentForm {
    /** Latents. */
    SAMPLE(1),
    /** Means, then log variances, of a diagonal Gaussian: the output of a latent diffusion's encoder. */
    MEAN_LOG_VARIANCE(2),
    /** Means, then standard deviations. */
    MEAN_STD(2);

    private static final double LEAST_LOG_VARIANCE = -30;
    private static final double MOST_LOG_VARIANCE = 20;

    private final int parts;

    LatentForm(int parts) {
        this.parts = parts;
    }

    /** Returns stored channels per channel of a latent. */
    int parts() {
        return parts;
    }

    /** Returns true if latents are drawn. */
    boolean isDrawn() {
        return parts > 1;
    }

    /** Returns the name in files, such as {@code mean-std}. */
    String label() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /** Returns the form of a name in files. */
    static LatentForm named(String label) {
        for (LatentForm form : values()) {
            if (form.label().equals(label)) {
                return form;
            }
        }
        throw new IllegalArgumentException(
                "the form of latents is '" + label + "', expected sample, mean-log-variance or mean-std");
    }

    /**
     * Draws latents from stored moments.
     *
     * @param moments (B, 2C, H, W) float32
     * @param noise (B, C, H, W) standard normal
     */
    Tensor drawn(Tensor moments, Tensor noise) {
        Preconditions.checkState(isDrawn(), "samples are not drawn");
        long channels = moments.size(1) / 2;
        Tensor mean = moments.narrow(1, 0, channels);
        Tensor second = moments.narrow(1, channels, channels);
        Tensor deviation = this == MEAN_STD
                ? second
                : second.clampMin(LEAST_LOG_VARIANCE)
                        .clampMax(MOST_LOG_VARIANCE)
                        .mul(0.5)
                        .exp();
        return Torch.addcmul(mean, deviation, noise);
    }
}
