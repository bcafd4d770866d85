package org.metaflowmaps.models.vision;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.UnaryOperator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.metaflowmaps.models.layer.Weights;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.TensorFile;

/**
 * TAESD, a small autoencoder for the scaled latents of Stable Diffusion (https://github.com/madebyollin/taesd): fast
 * previews and gradients with less detail than {@link AutoencoderKL}.
 *
 * <p>Images are (batch, 3, height, width) in [-1, 1] with sides that 8 divides; latents are (batch, 4, height / 8, width /
 * 8), scaled as a flow map's: do not divide them by {@link AutoencoderSettings#scale}. Weights are frozen; gradients
 * flow to images and latents.
 */
public final class TinyAutoencoder implements Autoencoder {
    /** Layers by number in diffusers' names; the blocks are between them. */
    private static final int[] ENCODER_CONVS = {0, 2, 6, 10, 14};

    private static final int[] DECODER_CONVS = {0, 6, 11, 16, 18};
    /** The decoder's upsampling and its first activation, which have numbers but no weights. */
    private static final List<Integer> DECODER_BARE = List.of(1, 5, 10, 15);

    /** In the names of the two files; an autoencoder is neither. */
    static final Pattern PART = Pattern.compile("(?<!auto)(en|de)coder");

    private static final long SIDES = 8;
    private static final Pattern DECODER = Pattern.compile("decoder\\.layers\\.(\\d+)\\.(.*)");
    private static final Layout DIFFUSERS = Layout.renamed(
            "diffusers AutoencoderTiny",
            List.of("encoder.layers.0.weight", "decoder.layers.0.weight", "decoder.layers.18.weight"),
            name -> name);
    private static final Layout ENCODER_FILE = Layout.renamed(
            "TAESD's encoder",
            List.of("0.weight", "1.conv.0.weight", "14.weight"),
            name -> name.replace("encoder.layers.", ""));
    private static final Layout DECODER_FILE = Layout.renamed(
            "TAESD's decoder", List.of("1.weight", "3.conv.0.weight", "19.weight"), TinyAutoencoder::shifted);

    private final ParameterArena arena;
    private final CpuUse use;
    private final Weights weights;
    private final DType type;

    private TinyAutoencoder(ParameterArena arena, DType type) {
        this.arena = arena;
        this.use = new CpuUse(arena);
        this.weights = new Weights(arena, "");
        this.type = type;
    }

    /** Counts the clamp in front, which diffusers applies outside its list. */
    private static String shifted(String name) {
        Matcher layer = DECODER.matcher(name);
        return layer.matches() ? Integer.parseInt(layer.group(1)) + 1 + "." + layer.group(2) : name;
    }

    /**
     * Loads a file of diffusers.
     *
     * @param type float32; float64 for reference results; bfloat16 for speed
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged, or holds no such network
     */
    public static TinyAutoencoder load(Path file, DType type, Device device) throws IOException {
        try (TensorFile open = TensorFile.open(file)) {
            return read(open, type, device);
        } catch (IOException e) {
            throw ConfigFile.named(file, e);
        }
    }

    /**
     * Loads the original two files.
     *
     * @param encoder {@code taesd_encoder.pth}
     * @param decoder {@code taesd_decoder.pth}
     * @param type float32; float64 for reference results; bfloat16 for speed
     * @return owned by the caller
     * @throws IOException if a file is missing or damaged, or holds no such network
     */
    public static TinyAutoencoder load(Path encoder, Path decoder, DType type, Device device) throws IOException {
        try (TensorFile first = TensorFile.open(encoder);
                TensorFile second = TensorFile.open(decoder)) {
            return read(
                    WeightFile.find(first, "encoder of TAESD", List.of(ENCODER_FILE)),
                    WeightFile.find(second, "decoder of TAESD", List.of(DECODER_FILE)),
                    type,
                    device);
        } catch (IOException e) {
            throw new IOException(encoder + " and " + decoder + ": " + e.getMessage(), e);
        }
    }

    /**
     * Reads a network from an open file of diffusers.
     *
     * @param file stays the caller's
     * @param type float32; float64 for reference results; bfloat16 for speed
     * @return owned by the caller
     * @throws IOException if the file holds no such network
     */
    public static TinyAutoencoder read(TensorFile file, DType type, Device device) throws IOException {
        WeightFile found = WeightFile.find(file, "autoencoder TAESD", List.of(DIFFUSERS));
        return read(found, found, type, device);
    }

    /** Returns true if an open file has the names of TAESD in the layout of diffusers. */
    static boolean isIn(TensorFile file) {
        return file.entries().keySet().stream().anyMatch(name -> name.endsWith("decoder.layers.18.weight"));
    }

    private static TinyAutoencoder read(WeightFile encoder, WeightFile decoder, DType type, Device device)
            throws IOException {
        Fitting fitting = new Fitting("the autoencoder TAESD", encoder);
        long latents = layers(fitting, "encoder.layers.", ENCODER_CONVS, List.of(), Fitting.ANY);
        fitting.from(decoder);
        layers(fitting, "decoder.layers.", DECODER_CONVS, DECODER_BARE, latents);
        return new TinyAutoencoder(fitting.read(type, device), type);
    }

    /** Adds a list of layers: only the first and the last convolution have a bias. */
    private static long layers(Fitting fitting, String prefix, int[] convs, List<Integer> bare, long in) {
        long channels = fitting.conv(prefix + convs[0], Fitting.ANY, in, 3);
        int last = convs[convs.length - 1];
        int next = 1;
        for (int layer = 1; layer < last; layer++) {
            if (layer == convs[next]) {
                channels = fitting.tensor(prefix + layer + ".weight", Fitting.ANY, channels, 3, 3)[0];
                next++;
            } else if (!bare.contains(layer)) {
                for (int conv = 0; conv < 5; conv += 2) {
                    fitting.conv(prefix + layer + ".conv." + conv, channels, channels, 3);
                }
            }
        }
        return fitting.conv(prefix + last, Fitting.ANY, channels, 3);
    }

    /**
     * Encodes images; there is no noise.
     *
     * @param images (batch, 3, height, width), in [-1, 1]
     * @return (batch, 4, height / 8, width / 8)
     * @throws IllegalArgumentException for another shape
     */
    public Tensor encode(Tensor images) {
        Tensor given = ImageLayers.images(
                "encode", images, weights.get("encoder.layers.0.weight").size(1), type);
        if (given.size(2) % SIDES != 0 || given.size(3) % SIDES != 0) {
            throw new IllegalArgumentException(
                    "encode: images are " + images + ", expected sides that are multiples of " + SIDES);
        }
        return ImageLayers.block(
                given,
                x -> ImageLayers.result(
                        run(weights.in("encoder.layers"), x.add(1).div(2), ENCODER_CONVS, List.of())));
    }

    @Override
    public boolean hasMoments() {
        return false;
    }

    @Override
    public Optional<Posterior> posterior(Tensor images) {
        Objects.requireNonNull(images, "posterior: the images are null");
        return Optional.empty();
    }

    /** {@link #encode} without Stable Diffusion's scale and shift. */
    @Override
    public Tensor latents(Tensor images, UnaryOperator<Tensor> noise) {
        Objects.requireNonNull(noise, "latents: the noise is null");
        return ImageLayers.block(images, x -> encode(x).div(scale()).add(shift()));
    }

    /**
     * Decodes a flow map's latents.
     *
     * @param latents (batch, 4, height, width), scaled
     * @return (batch, 3, 8 · height, 8 · width), roughly in [-1, 1], not clamped
     * @throws IllegalArgumentException for another shape
     */
    public Tensor decode(Tensor latents) {
        Tensor given = ImageLayers.images(
                "decode", latents, weights.get("decoder.layers.0.weight").size(1), type);
        return ImageLayers.block(given, z -> {
            Tensor clamped = z.div(3).tanh().mul(3);
            return ImageLayers.result(run(weights.in("decoder.layers"), clamped, DECODER_CONVS, DECODER_BARE)
                    .mul(2)
                    .sub(1));
        });
    }

    /** Decodes the latents of a flow map, as {@link #decode} does. */
    @Override
    public Tensor decodeScaled(Tensor latents) {
        return decode(latents);
    }

    /** The scale of Stable Diffusion's latents. */
    @Override
    public double scale() {
        return AutoencoderSettings.STABLE_DIFFUSION.scale();
    }

    @Override
    public double shift() {
        return AutoencoderSettings.STABLE_DIFFUSION.shift();
    }

    @Override
    public long latentChannels() {
        return weights.get("decoder.layers.0.weight").size(1);
    }

    @Override
    public long factor() {
        return SIDES;
    }

    private static Tensor run(Weights layers, Tensor input, int[] convs, List<Integer> bare) {
        Tensor x = ImageLayers.conv(layers, "0", ImageLayers.channelsLast(input));
        int last = convs[convs.length - 1];
        boolean decoder = !bare.isEmpty();
        int next = 1;
        for (int layer = 1; layer < last; layer++) {
            if (layer == convs[next]) {
                long stride = decoder ? 1 : 2;
                x = Torch.conv2d(
                        x, layers.get(layer + ".weight"), null, new long[] {stride, stride}, new long[] {1, 1}, 1);
                next++;
            } else if (bare.contains(layer)) {
                x = layer == 1 ? x.relu_() : ImageLayers.doubled(x);
            } else {
                x = residual(layers.in(String.valueOf(layer)), x);
            }
        }
        return ImageLayers.conv(layers, String.valueOf(last), x).contiguous();
    }

    private static Tensor residual(Weights weights, Tensor input) {
        return ImageLayers.block(input, x -> {
            Tensor h = ImageLayers.conv(weights, "conv.0", x).relu_();
            h = ImageLayers.conv(weights, "conv.2", h).relu_();
            return ImageLayers.conv(weights, "conv.4", h).add(x).relu_();
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
