package org.metaflowmaps.cli.option;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.vision.Autoencoder;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.steering.reward.LatentDecoder;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.DataConfig;
import picocli.CommandLine.Option;

/** {@code --vae}, the autoencoder of a map of latents. */
public final class VaeOption {
    @Option(
            names = "--vae",
            paramLabel = "FILE",
            description = "For a map of latents: the autoencoder that decodes them to images, of Stable Diffusion"
                    + " (diffusers or CompVis) or TAESD. A config.json beside it gives its settings.")
    private @Nullable Path file;

    /** Returns the file, if given. */
    public @Nullable Path file() {
        return file;
    }

    /**
     * Loads the autoencoder for a map.
     *
     * @param checkpoint of the map, with the scaling of its latents, by default that of the autoencoder
     * @param clamp of decoded images
     * @return owned by the caller; null if the option was not given
     * @throws IllegalArgumentException if the map's items are no latents of the autoencoder
     */
    public @Nullable LatentDecoder open(
            CheckpointOption checkpoint, MetaFlowMap map, LatentDecoder.Clamp clamp, Device device) throws IOException {
        Path given = file;
        if (given == null) {
            return null;
        }
        Autoencoder autoencoder = Autoencoder.load(given, DType.FLOAT32, device);
        try {
            if (map.itemShape().dim() != 3 || map.itemShape().size(0) != autoencoder.latentChannels()) {
                throw new IllegalArgumentException("--vae " + given + " has latents of " + autoencoder.latentChannels()
                        + " channels, and this map's items have shape " + map.itemShape()
                        + ": give the autoencoder that made the map's data, and none for a map of pixels");
            }
            return new LatentDecoder(autoencoder, scaling(checkpoint, autoencoder), clamp);
        } catch (IOException | RuntimeException e) {
            autoencoder.close();
            throw e;
        }
    }

    /** Of the checkpoint; of the data beside it, as earlier versions have it; else of the autoencoder. */
    private static LatentScaling scaling(CheckpointOption checkpoint, Autoencoder autoencoder) throws IOException {
        LatentScaling own = LatentScaling.of(autoencoder.scale(), autoencoder.shift());
        Optional<LatentScaling> saved = checkpoint.latents();
        TrainConfig config = saved.isPresent() ? null : checkpoint.config();
        if (config == null || config.data().kind() != DataConfig.Kind.LATENTS) {
            return saved.orElse(own);
        }
        Double scale = config.data().scale();
        return scale == null ? own : LatentScaling.of(scale, autoencoder.shift());
    }
}
