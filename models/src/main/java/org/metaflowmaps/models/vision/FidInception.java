package org.metaflowmaps.models.vision;

import static com.google.common.base.Preconditions.checkArgument;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.metaflowmaps.models.layer.Weights;
import org.metaflowmaps.models.model.Network;
import org.metaflowmaps.models.vision.InceptionBlock.Conv;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.TensorFile;

/**
 * The Inception network of FID: TensorFlow's graph of 2015-12-05, with the weights that pytorch-fid and torch-fidelity
 * distribute. It is not torchvision's Inception v3.
 *
 * <p>Weights are frozen; gradients flow to images.
 */
public final class FidInception implements Network {
    /** sFID uses these many channels of {@code Mixed_6d} (TensorFlow's {@code mixed_6}). */
    private static final long SPATIAL_CHANNELS = 7;

    private static final List<Conv> FIRST = List.of(
            new Conv("Conv2d_1a_3x3", 3, 3, 2, false),
            new Conv("Conv2d_2a_3x3", 3, 3, 1, false),
            new Conv("Conv2d_2b_3x3", 3, 3, 1, true));
    private static final List<Conv> SECOND =
            List.of(new Conv("Conv2d_3b_1x1", 1, 1, 1, false), new Conv("Conv2d_4a_3x3", 3, 3, 1, false));
    private static final Map<String, InceptionBlock> BLOCKS = blocks();
    private static final Layout LAYOUT = Layout.renamed(
                    "pytorch-fid",
                    List.of("Conv2d_1a_3x3.conv.weight", "Mixed_7c.branch3x3_2a.conv.weight", "fc.weight"),
                    name -> name)
            .ignoring(name -> name.endsWith(".num_batches_tracked") || name.startsWith("AuxLogits."));

    private final ParameterArena arena;
    private final CpuUse use;
    private final DType type;
    private final Weights weights;

    private FidInception(ParameterArena arena, DType type) {
        this.arena = arena;
        this.use = new CpuUse(arena);
        this.type = type;
        this.weights = new Weights(arena, "");
    }

    private static Map<String, InceptionBlock> blocks() {
        Map<String, InceptionBlock> blocks = new LinkedHashMap<>();
        for (String name : List.of("Mixed_5b", "Mixed_5c", "Mixed_5d")) {
            blocks.put(name, InceptionBlock.A);
        }
        blocks.put("Mixed_6a", InceptionBlock.B);
        for (String name : List.of("Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e")) {
            blocks.put(name, InceptionBlock.C);
        }
        blocks.put("Mixed_7a", InceptionBlock.D);
        blocks.put("Mixed_7b", InceptionBlock.E_MEAN);
        blocks.put("Mixed_7c", InceptionBlock.E_MAX);
        return blocks;
    }

    /**
     * Loads the network.
     *
     * @param file {@code pt_inception-2015-12-05-6726825d.pth} of pytorch-fid, or torch-fidelity's
     *     {@code weights-inception-2015-12-05-6726825d.pth}
     * @param type float32; float64 for reference results
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged, or holds no such network
     */
    public static FidInception load(Path file, DType type, Device device) throws IOException {
        try (TensorFile open = TensorFile.open(file)) {
            return read(open, type, device);
        } catch (IOException e) {
            throw ConfigFile.named(file, e);
        }
    }

    /**
     * Reads the network from an open file.
     *
     * @param file stays the caller's
     * @param type float32; float64 for reference results
     * @return owned by the caller
     * @throws IOException if the file holds no such network
     */
    public static FidInception read(TensorFile file, DType type, Device device) throws IOException {
        checkArgument(type != DType.BFLOAT16, "an Inception network of type bfloat16: FID needs float32 or float64");
        Fitting fitting =
                new Fitting("FID's Inception network", WeightFile.find(file, "Inception network", List.of(LAYOUT)));
        long channels = 3;
        for (Conv conv : FIRST) {
            channels = InceptionBlock.add(fitting, "", conv, channels);
        }
        for (Conv conv : SECOND) {
            channels = InceptionBlock.add(fitting, "", conv, channels);
        }
        for (Map.Entry<String, InceptionBlock> block : BLOCKS.entrySet()) {
            channels = block.getValue().add(fitting, block.getKey(), channels);
        }
        fitting.linear("fc", Fitting.ANY, channels);
        return new FidInception(fitting.read(type, device), type);
    }

    /**
     * Features of images.
     *
     * @param pool (batch, 2048): means over positions of the last block, for FID
     * @param spatial (batch, 2023): seven channels of a middle block with their positions, channels last, for sFID
     */
    public record Features(Tensor pool, Tensor spatial) {}

    /**
     * Returns the features of images.
     *
     * @param images uint8 or whole numbers, (batch, 3, height, width), 0 to 255
     * @param input how to prepare them
     */
    public Features features(Tensor images, InceptionInput input) {
        try (TensorScope scope = TensorScope.open()) {
            Map<String, Tensor> stages = stages(input.prepare(images, type));
            Tensor middle = Objects.requireNonNull(stages.get("Mixed_6d"));
            // The first branch comes first among the joined channels.
            long first = weights.get("Mixed_6d.branch1x1.conv.weight").size(0);
            Tensor spatial = middle.narrow(1, 0, Math.min(SPATIAL_CHANNELS, first))
                    .permute(0, 2, 3, 1)
                    .reshape(middle.size(0), -1);
            return new Features(scope.keep(Objects.requireNonNull(stages.get("pool3"))), scope.keep(spatial));
        }
    }

    /**
     * Returns the outputs of the network's stages for prepared images.
     *
     * @param prepared (batch, 3, height, width), about -1 to 1, see {@link InceptionInput}
     * @return {@code first_pool}, {@code second_pool}, {@code Mixed_5b} to {@code Mixed_7c} (batch, channels, rows,
     *     columns), and {@code pool3} (batch, channels), in this order; tensors of the innermost open scope, on the CPU with the
     *     channels last in memory
     * @throws IllegalArgumentException for another shape
     */
    public Map<String, Tensor> stages(Tensor prepared) {
        Tensor x = ImageLayers.channelsLast(ImageLayers.images("stages", prepared, 3, type));
        Map<String, Tensor> stages = new LinkedHashMap<>();
        x = ImageLayers.block(x, in -> pooled(FIRST, in));
        stages.put("first_pool", x);
        x = ImageLayers.block(x, in -> pooled(SECOND, in));
        stages.put("second_pool", x);
        for (Map.Entry<String, InceptionBlock> block : BLOCKS.entrySet()) {
            x = block.getValue().forward(weights.in(block.getKey()), x);
            stages.put(block.getKey(), x);
        }
        stages.put("pool3", x.mean(2, 3));
        return stages;
    }

    private Tensor pooled(List<Conv> convs, Tensor input) {
        Tensor x = input;
        for (Conv conv : convs) {
            x = InceptionBlock.forward(weights, conv, x);
        }
        return Torch.maxPool2d(x, 3, 2, 0);
    }

    /** Returns one block's output, for comparison with other implementations. */
    Tensor block(String name, Tensor input) {
        InceptionBlock block = BLOCKS.get(name);
        checkArgument(block != null, "there is no block '%s', expected one of %s", name, BLOCKS.keySet());
        return Objects.requireNonNull(block).forward(weights.in(name), input.to(type));
    }

    /**
     * Returns the logits of the classes.
     *
     * @param pool (batch, 2048), see {@link Features}
     * @param bias false for the Inception Score, which leaves the bias out
     * @return (batch, 1008)
     */
    public Tensor logits(Tensor pool, boolean bias) {
        Tensor matrix = weights.get("fc.weight");
        return bias ? Torch.linear(pool, matrix, weights.get("fc.bias")) : Torch.linear(pool, matrix);
    }

    /** The weights and the normalisations' statistics, frozen, under their published names. */
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
