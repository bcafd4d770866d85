package org.metaflowmaps.steering.evaluation;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.metaflowmaps.models.model.Network;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.ImageClassifier;
import org.metaflowmaps.training.data.FashionMnist;

/**
 * A second classifier of Fashion-MNIST, which judges images steered towards a class by {@link FashionClassifier}: it
 * has another architecture and was trained with another seed. No reward that {@code mfm} optimises uses it, because a
 * sampler that maximises a classifier's score also exploits that classifier's errors.
 *
 * <p>An MLP-Mixer (Tolstikhin et al., 2021): 49 patches of 4 x 4 pixels, four blocks that mix first the patches and
 * then the channels, layer normalisation without gain, and a linear layer on the patches' mean.
 * {@link ClassifierTraining} trained this library's weights on the 60,000 training images; {@code metadata()} describes
 * the training and the accuracy on the 10,000 test images.
 */
public final class FashionJudge extends TrainedClassifier implements Network, ImageClassifier {
    private static final int PATCH = 4;
    private static final int SIDE = FashionMnist.SIZE / PATCH;
    private static final int TOKENS = SIDE * SIDE;
    private static final int WIDTH = 64;
    private static final int TOKENS_HIDDEN = 32;
    private static final int CHANNELS_HIDDEN = 128;
    private static final int BLOCKS = 4;
    private static final double EPS = 1e-5;

    private FashionJudge(ParameterArena arena, Map<String, String> metadata) {
        super(arena, metadata);
    }

    private static ParameterArena layout(Device device) {
        Map<String, Shape> shapes = new LinkedHashMap<>();
        add(shapes, "patches", PATCH * PATCH, WIDTH);
        for (int i = 0; i < BLOCKS; i++) {
            add(shapes, "block" + i + ".tokens1", TOKENS, TOKENS_HIDDEN);
            add(shapes, "block" + i + ".tokens2", TOKENS_HIDDEN, TOKENS);
            add(shapes, "block" + i + ".channels1", WIDTH, CHANNELS_HIDDEN);
            add(shapes, "block" + i + ".channels2", CHANNELS_HIDDEN, WIDTH);
        }
        add(shapes, "output", WIDTH, FashionMnist.CLASSES.size());
        return new ParameterArena(shapes, device);
    }

    private static void add(Map<String, Shape> shapes, String layer, int inputs, int outputs) {
        shapes.put(layer + ".weight", Shape.of(outputs, inputs));
        shapes.put(layer + ".bias", Shape.of(outputs));
    }

    /** Returns a classifier to train, with random weights; owned by the caller. */
    static FashionJudge initialised(Device device, RandomSource random) {
        return new FashionJudge(initialised(layout(device), random), Map.of());
    }

    /** Returns this library's trained judge; owned by the caller. */
    public static FashionJudge shipped(Device device) {
        return shipped("fashion-judge.safetensors", file -> load(file, device));
    }

    /**
     * Loads a judge that {@link ClassifierTraining} wrote; owned by the caller.
     *
     * @throws IOException if the file is missing, damaged or not such a classifier
     */
    public static FashionJudge load(Path file, Device device) throws IOException {
        ParameterArena arena = layout(device);
        return new FashionJudge(arena, read(file, arena));
    }

    @Override
    Tensor outputs(Tensor items) {
        checkItems(items);
        try (TensorScope scope = TensorScope.open()) {
            long count = items.size(0);
            Tensor patches = items.reshape(count, SIDE, PATCH, SIDE, PATCH)
                    .permute(0, 1, 3, 2, 4)
                    .reshape(count, TOKENS, PATCH * PATCH);
            Tensor state = linear("patches", patches);
            for (int i = 0; i < BLOCKS; i++) {
                Tensor across = normalised(state).transpose(1, 2);
                state = state.add(mixed("block" + i + ".tokens", across).transpose(1, 2));
                state = state.add(mixed("block" + i + ".channels", normalised(state)));
            }
            return scope.keep(linear("output", normalised(state).mean(1)));
        }
    }

    private Tensor mixed(String layers, Tensor input) {
        return linear(layers + "2", Torch.geluTanh(linear(layers + "1", input)));
    }

    private static Tensor normalised(Tensor input) {
        return Torch.layerNorm(input, EPS).output();
    }

    private Tensor linear(String layer, Tensor input) {
        return Torch.linear(input, arena.get(layer + ".weight"), arena.get(layer + ".bias"));
    }
}
