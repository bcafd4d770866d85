package org.metaflowmaps.models.vision;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.Network;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.file.TensorFile;

/** An autoencoder between images and a flow map's latents, frozen and differentiable. */
public sealed interface Autoencoder extends Network permits AutoencoderKL, TinyAutoencoder {
    /**
     * Loads an autoencoder of any kind, which the names of its tensors show.
     *
     * @param file of diffusers or CompVis, as {@link AutoencoderKL#load(Path, Device)} takes it, with the settings of
     *     the {@code config.json} beside it; or TAESD of diffusers; or TAESD's {@code taesd_decoder.pth} with its
     *     {@code taesd_encoder.pth} beside it
     * @param type float32; float64 for reference results; bfloat16 for speed
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged, or holds no such network
     */
    static Autoencoder load(Path file, DType type, Device device) throws IOException {
        Path encoder = encoder(file);
        if (encoder != null) {
            return TinyAutoencoder.load(encoder, file, type, device);
        }
        boolean tiny;
        try (TensorFile open = TensorFile.open(file)) {
            tiny = TinyAutoencoder.isIn(open);
        }
        return tiny
                ? TinyAutoencoder.load(file, type, device)
                : AutoencoderKL.load(
                        file,
                        ConfigFile.beside(file, AutoencoderSettings::of).orElse(AutoencoderSettings.STABLE_DIFFUSION),
                        type,
                        device);
    }

    /** Returns the encoder's file beside TAESD's decoder; null if that file does not exist. */
    private static @Nullable Path encoder(Path file) {
        Path name = file.getFileName();
        if (name == null || !name.toString().contains("decoder")) {
            return null;
        }
        Path encoder = file.resolveSibling(name.toString().replace("decoder", "encoder"));
        return Files.isRegularFile(encoder) ? encoder : null;
    }

    /**
     * Decodes a flow map's latents.
     *
     * @param latents (batch, channels, height, width), with the autoencoder's {@link #scale} and {@link #shift}
     * @return (batch, 3, {@link #factor} · height, {@link #factor} · width), roughly in [-1, 1], not clamped, in the
     *     innermost open scope
     * @throws IllegalArgumentException for another shape
     */
    Tensor decodeScaled(Tensor latents);

    /** The factor that a flow map's latents were multiplied by. */
    double scale();

    /** The number that is subtracted from the autoencoder's latents before they are multiplied by {@link #scale}. */
    double shift();

    /** The number of channels of latents. */
    long latentChannels();

    /** The ratio of the sides of images and latents. */
    long factor();
}
