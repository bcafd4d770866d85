package org.metaflowmaps.training.data;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/**
 * Settings of the data that its files state.
 *
 * @param channels of items
 * @param classes labels are below this
 * @param scale between an autoencoder's latents and items; 1 if each channel has its own
 */
public record DataSettings(int channels, int classes, double scale) {
    /**
     * Reads what files of latents state.
     *
     * @param data its null settings are read; null for none
     * @return null if the files cannot be read, do not match the other settings, or there are none
     */
    @SuppressWarnings("UnusedException")
    public static @Nullable DataSettings of(@Nullable DataConfig data) {
        if (data == null || data.kind() != DataConfig.Kind.LATENTS) {
            return null;
        }
        try {
            LatentCaches.Description stated = LatentCaches.describe(data);
            Double scale = stated.scale();
            return new DataSettings((int) stated.channels(), stated.classes(), scale == null ? 1 : scale);
        } catch (IOException | IllegalArgumentException e) {
            // Opening the data throws it again.
            return null;
        }
    }
}
