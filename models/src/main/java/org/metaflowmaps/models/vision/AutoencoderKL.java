package org.metaflowmaps.models.vision;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.UnaryOperator;
import org.metaflowmaps.models.layer.Weights;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.TensorFile;

/**
 * The variational autoencoder of latent diffusion, between images and latents (Rombach et al. 2022, arXiv 2112.10752).
 *
 * <p>Images are (batch, 3, height, width) in [-1, 1] with sides that the network's factor divides, 8 in published
 * networks; latents are (batch, 4, height / 8, width / 8). Latents of flow maps are scaled, see {@link #scaled}.
 * Batches of more than 64 items are computed in parts. Weights are frozen; gradients flow to images and latents.
 */
public final class AutoencoderKL implements Autoencoder {
    /** One activation of more items at 256 x 256 pixels has more than 2³¹ elements, which some kernels cannot index. */
    private static final long MOST_ITEMS = 64;

    private final ParameterArena arena;
    private final CpuUse use;
    private final AutoencoderSettings settings;
    private final DType type;
    private final Weights weights;
    private final long imageChannels;
    private final long latentChannels;
    private final long factor;

    private AutoencoderKL(ParameterArena arena, AutoencoderSettings settings, DType type) {
        this.arena = arena;
        this.use = new CpuUse(arena);
        this.settings = settings;
        this.type = type;
        this.weights = new Weights(arena, "");
        this.imageChannels = weights.get("encoder.conv_in.weight").size(1);
        this.latentChannels = weights.get("decoder.conv_in.weight").size(1);
        long sides = 1;
        while (weights.find("encoder.down_blocks." + Long.numberOfTrailingZeros(sides) + ".downsamplers.0.conv.weight")
                .isPresent()) {
            sides *= 2;
        }
        this.factor = sides;
    }

    /**
     * Loads an autoencoder in float32, with the settings of the {@code config.json} in its folder if there is one, else
     * those of Stable Diffusion.
     *
     * @param file a file of diffusers, or of CompVis alone or within a full checkpoint; or a folder of such shards
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged, or holds no such network
     */
    public static AutoencoderKL load(Path file, Device device) throws IOException {
        return load(
                file,
                ConfigFile.beside(file, AutoencoderSettings::of).orElse(AutoencoderSettings.STABLE_DIFFUSION),
                DType.FLOAT32,
                device);
    }

    /**
     * Loads an autoencoder.
     *
     * @param file a file of diffusers, or of CompVis alone or within a full checkpoint; or a folder of such shards
     * @param settings what the tensors do not show
     * @param type float32; float64 for reference results; bfloat16 for speed
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged, or holds no such network
     */
    public static AutoencoderKL load(Path file, AutoencoderSettings settings, DType type, Device device)
            throws IOException {
        try (TensorFile open = TensorFile.open(file)) {
            return read(open, settings, type, device);
        } catch (IOException e) {
            throw ConfigFile.named(file, e);
        }
    }

    /**
     * Reads an autoencoder from an open file.
     *
     * @param file stays the caller's
     * @param settings what the tensors do not show
     * @param type float32; float64 for reference results; bfloat16 for speed
     * @return owned by the caller
     * @throws IOException if the file holds no such network
     */
    public static AutoencoderKL read(TensorFile file, AutoencoderSettings settings, DType type, Device device)
            throws IOException {
        Fitting fitting = new Fitting("autoencoder", WeightFile.find(file, "autoencoder", AutoencoderLayouts.ALL));
        long moments = AutoencoderParts.encoder(fitting, settings.groups());
        long latents = moments / 2;
        fitting.require(moments % 2 == 0, "the encoder has " + moments + " outputs, expected an even number");
        if (settings.quantConvolutions()) {
            fitting.conv("quant_conv", moments, moments, 1);
            fitting.conv("post_quant_conv", latents, latents, 1);
        }
        AutoencoderParts.decoder(fitting, latents, settings.groups());
        return new AutoencoderKL(fitting.read(type, device), settings, type);
    }

    /** The settings. */
    public AutoencoderSettings settings() {
        return settings;
    }

    @Override
    public double scale() {
        return settings.scale();
    }

    @Override
    public double shift() {
        return settings.shift();
    }

    @Override
    public long latentChannels() {
        return latentChannels;
    }

    @Override
    public long factor() {
        return factor;
    }

    /**
     * Encodes images.
     *
     * @param images (batch, 3, height, width), in [-1, 1]
     * @return (batch, 2 · channels, height / factor, width / factor): means, then log-variances
     * @throws IllegalArgumentException for another shape
     */
    public Tensor moments(Tensor images) {
        Tensor given = ImageLayers.images("moments", images, imageChannels, type);
        if (given.size(2) % factor != 0 || given.size(3) % factor != 0) {
            throw new IllegalArgumentException("moments: images are " + images + ", expected sides that are multiples"
                    + " of " + factor + ": crop or resize them");
        }
        return parts(
                given,
                part -> ImageLayers.block(part, x -> {
                    Tensor moments = AutoencoderParts.encode(weights.in("encoder"), x, settings.groups());
                    return ImageLayers.result(
                            settings.quantConvolutions() ? ImageLayers.conv(weights, "quant_conv", moments) : moments);
                }));
    }

    /** As {@link #moments}, as a distribution of latents. */
    public Posterior encode(Tensor images) {
        return Posterior.of(moments(images));
    }

    @Override
    public boolean hasMoments() {
        return true;
    }

    @Override
    public Optional<Posterior> posterior(Tensor images) {
        return Optional.of(encode(images));
    }

    @Override
    public Tensor latents(Tensor images, UnaryOperator<Tensor> noise) {
        Objects.requireNonNull(noise, "latents: the noise is null");
        return ImageLayers.block(images, x -> {
            Posterior posterior = encode(x);
            return posterior.sample(noise.apply(posterior.mean()));
        });
    }

    /**
     * Decodes the autoencoder's own latents.
     *
     * @param latents (batch, channels, height, width)
     * @return (batch, 3, factor · height, factor · width), roughly in [-1, 1], not clamped
     * @throws IllegalArgumentException for another shape
     */
    public Tensor decode(Tensor latents) {
        Tensor given = ImageLayers.images("decode", latents, latentChannels, type);
        return parts(
                given,
                part -> ImageLayers.block(part, z -> {
                    Tensor first = settings.quantConvolutions() ? ImageLayers.conv(weights, "post_quant_conv", z) : z;
                    return ImageLayers.result(AutoencoderParts.decode(weights.in("decoder"), first, settings.groups()));
                }));
    }

    /** Decodes the latents of a flow map: {@link #decode} of {@link #unscaled}. */
    @Override
    public Tensor decodeScaled(Tensor latents) {
        return ImageLayers.block(latents, x -> decode(unscaled(x)));
    }

    /** Converts latents of flow maps to the autoencoder's own: latents / scale + shift. */
    public Tensor unscaled(Tensor latents) {
        return latents.div(settings.scale()).add(settings.shift());
    }

    /** The decoder's attention alone, for comparison with other implementations. */
    Tensor decoderAttention(Tensor features) {
        return AutoencoderParts.attention(weights.in("decoder"), features.to(type), settings.groups());
    }

    private static Tensor parts(Tensor batch, UnaryOperator<Tensor> body) {
        long items = batch.size(0);
        if (items <= MOST_ITEMS) {
            return body.apply(batch);
        }
        return ImageLayers.block(batch, all -> {
            List<Tensor> results = new ArrayList<>();
            for (long begin = 0; begin < items; begin += MOST_ITEMS) {
                results.add(body.apply(all.narrow(0, begin, Math.min(MOST_ITEMS, items - begin))));
            }
            return Torch.cat(0, results.toArray(Tensor[]::new));
        });
    }

    /** The weights, frozen, under the names of diffusers. */
    @Override
    public ParameterArena parameters() {
        return arena;
    }

    @Override
    public void close() {
        arena.close();
        use.close();
    }
}
