package org.metaflowmaps.models.vision;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.UnaryOperator;
import java.util.regex.Matcher;
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
     *     the {@code config.json} beside it; or TAESD of diffusers; or TAESD's {@code taesd_decoder.pth} or
     *     {@code taesd_encoder.pth} with the other one beside it
     * @param type float32; float64 for reference results; bfloat16 for speed
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged, or holds no such network
     */
    static Autoencoder load(Path file, DType type, Device device) throws IOException {
        List<Path> files = files(file);
        if (files.size() == 2) {
            return TinyAutoencoder.load(files.getFirst(), files.getLast(), type, device);
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

    /**
     * Returns the files or the folder that {@link #load} reads.
     *
     * @param file as {@link #load} takes it
     * @return TAESD's encoder and decoder if it is one of them and the other one is beside it, else the file
     */
    static List<Path> files(Path file) {
        Path name =
                Objects.requireNonNull(file, "autoencoder: the file is null").getFileName();
        Matcher part = TinyAutoencoder.PART.matcher(name == null ? "" : name.toString());
        if (part.results().count() == 1) {
            Path encoder = file.resolveSibling(part.replaceFirst("encoder"));
            Path decoder = file.resolveSibling(part.replaceFirst("decoder"));
            if (Files.isRegularFile(encoder) && Files.isRegularFile(decoder)) {
                return List.of(encoder, decoder);
            }
        }
        return List.of(file);
    }

    /**
     * Returns whether an image is encoded to a distribution of latents, not to one latent.
     *
     * @return true if {@link #posterior} has a result
     */
    boolean hasMoments();

    /**
     * Encodes images to distributions of the autoencoder's own latents.
     *
     * @param images (batch, 3, height, width), in [-1, 1]
     * @return of the innermost open scope; empty, whatever the images, if each image has one latent
     * @throws IllegalArgumentException for another shape
     */
    Optional<Posterior> posterior(Tensor images);

    /**
     * Encodes images to the autoencoder's own latents: a draw of each image's distribution, or its only latent.
     *
     * @param images (batch, 3, height, width), in [-1, 1]
     * @param noise returns standard normal numbers of the shape, type and device of its argument; not called for an
     *     autoencoder without distributions
     * @return (batch, channels, height / factor, width / factor), in the innermost open scope
     * @throws IllegalArgumentException for another shape
     */
    Tensor latents(Tensor images, UnaryOperator<Tensor> noise);

    /** Converts the autoencoder's own latents to those of flow maps: (z - shift) · scale. */
    default Tensor scaled(Tensor latents) {
        return latents.sub(shift()).mul(scale());
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
