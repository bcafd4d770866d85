package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.CheckpointOption;
import org.metaflowmaps.cli.option.RewardOption;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.evaluation.FashionClassifier;
import org.metaflowmaps.steering.reward.Decoder;
import org.metaflowmaps.steering.reward.ImageClassifier;
import org.metaflowmaps.steering.reward.PixelDecoder;
import org.metaflowmaps.steering.reward.Reward;
import org.metaflowmaps.steering.reward.RewardContext;
import org.metaflowmaps.steering.reward.RewardProbe;
import org.metaflowmaps.steering.reward.RewardSpec;
import org.metaflowmaps.steering.reward.Tilt;

/**
 * A reward that fits a map, checked by a probe, with its inputs.
 *
 * @param reward the reward
 * @param decoder from the map's states to the reward's samples
 * @param classifier the reward's classifier, owned; null if it needs none or another one
 */
record LoadedReward(
        Reward reward, Decoder decoder, @Nullable FashionClassifier classifier) implements AutoCloseable {
    /** Items of a probe. */
    private static final int PROBED = 2;

    private static final String STATES = "use a reward of states, linear or linear-gaussian";

    /**
     * Loads a reward for a map.
     *
     * @param checkpoint of the map; its run's data provides the image that the reward observes
     * @throws IllegalArgumentException if the reward does not fit the map
     * @throws IOException if a file cannot be read
     */
    static LoadedReward of(RewardOption option, CheckpointOption checkpoint, MetaFlowMap map, long seed, Device device)
            throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            Optional<Tensor> image = option.spec().needs(RewardSpec.Input.IMAGE)
                    ? Optional.of(observed(option.image(), checkpoint, map, seed, device))
                    : Optional.empty();
            return of(option.spec(), map, image, seed, device);
        }
    }

    /** Loads a reward that observes no image, for a map. */
    static LoadedReward of(RewardSpec spec, MetaFlowMap map, long seed, Device device) throws IOException {
        return of(spec, map, Optional.empty(), seed, device);
    }

    /** Loads a reward that observes no image, for a map, with a classifier that is not owned. */
    static LoadedReward of(RewardSpec spec, MetaFlowMap map, ImageClassifier classifier, long seed, Device device)
            throws IOException {
        Reward reward = spec.open(new RewardContext(device, Optional.of(classifier), Optional.empty(), seed));
        try {
            Decoder decoder = decoder(reward, map);
            probe(reward, decoder, map, seed, device);
            return new LoadedReward(reward, decoder, null);
        } catch (RuntimeException e) {
            reward.close();
            throw e;
        }
    }

    private static LoadedReward of(RewardSpec spec, MetaFlowMap map, Optional<Tensor> image, long seed, Device device)
            throws IOException {
        FashionClassifier classifier = spec.needs(RewardSpec.Input.CLASSIFIER) ? classifier(spec, map, device) : null;
        Reward reward = null;
        try {
            reward =
                    spec.open(new RewardContext(device, Optional.<ImageClassifier>ofNullable(classifier), image, seed));
            Decoder decoder = decoder(reward, map);
            probe(reward, decoder, map, seed, device);
            return new LoadedReward(reward, decoder, classifier);
        } catch (IOException | RuntimeException e) {
            if (reward != null) {
                reward.close();
            }
            if (classifier != null) {
                classifier.close();
            }
            throw e;
        }
    }

    private static FashionClassifier classifier(RewardSpec spec, MetaFlowMap map, Device device) {
        if (!map.itemShape().equals(EvaluateFashionMnistCommand.ITEM)) {
            throw new IllegalArgumentException("--reward " + spec
                    + " needs a classifier, and the one included in mfm is for images of shape "
                    + EvaluateFashionMnistCommand.ITEM + ", those of Fashion-MNIST; this map's items have shape "
                    + map.itemShape() + ": "
                    + (isImage(map.itemShape())
                            ? "use a classifier of your own as --reward torchscript:FILE, a TorchScript module that"
                                    + " returns one number for each image in [0, 1], such as the log-probability of"
                                    + " the class"
                            : STATES));
        }
        return FashionClassifier.shipped(device);
    }

    private static Decoder decoder(Reward reward, MetaFlowMap map) {
        if (reward.takesStates()) {
            return Decoder.IDENTITY;
        }
        Shape item = map.itemShape();
        if (!isImage(item)) {
            throw new IllegalArgumentException("--reward " + reward.name()
                    + " scores images, and this map's items have shape " + item + ": " + STATES);
        }
        return new PixelDecoder();
    }

    /** Returns true for grey and coloured images. */
    private static boolean isImage(Shape item) {
        return item.dim() == 3 && (item.size(0) == 1 || item.size(0) == 3);
    }

    /** Noise instead of samples, because it costs no evaluation of the map. */
    private static void probe(Reward reward, Decoder decoder, MetaFlowMap map, long seed, Device device) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(seed, device)) {
            Tensor states = random.normal(map.itemShape().prepend(PROBED));
            Condition condition = map.classes() == 0
                    ? Condition.none()
                    : Condition.labelled(Torch.zeros(DType.INT64, device, PROBED));
            RewardProbe.check(reward, decoder.decode(states), condition);
        }
    }

    /** Returns an item of the map's data as an image (C, H, W) in [0, 1], in the innermost open scope. */
    private static Tensor observed(int image, CheckpointOption checkpoint, MetaFlowMap map, long seed, Device device)
            throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            CleanItems found = CleanItems.of(
                    map, checkpoint.classNames(map), checkpoint.config(), null, List.of(image), null, seed, device);
            return scope.keep(new PixelDecoder().decode(found.items()).select(0, 0));
        }
    }

    /** Returns the tilt of a strength. */
    Tilt tilt(double strength) {
        return new Tilt(reward, decoder, strength);
    }

    @Override
    public void close() {
        reward.close();
        if (classifier != null) {
            classifier.close();
        }
    }
}
