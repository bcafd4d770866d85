package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.CheckpointOption;
import org.metaflowmaps.cli.option.RewardInputOption;
import org.metaflowmaps.cli.option.RewardOption;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autograd;
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
import org.metaflowmaps.steering.reward.LatentDecoder;
import org.metaflowmaps.steering.reward.PixelDecoder;
import org.metaflowmaps.steering.reward.Reward;
import org.metaflowmaps.steering.reward.RewardContext;
import org.metaflowmaps.steering.reward.RewardProbe;
import org.metaflowmaps.steering.reward.RewardSpec;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.reward.WeightedSum;

/**
 * A reward that fits a map, checked by a probe, with its inputs.
 *
 * @param reward the reward
 * @param decoder from the map's states to the reward's samples
 * @param classifier the reward's classifier, owned; null if it needs none or another one
 * @param inputs shared with other rewards of the run
 * @param ownsInputs true if this reward closes them
 */
record LoadedReward(
        Reward reward, Decoder decoder, @Nullable FashionClassifier classifier, RewardInputs inputs, boolean ownsInputs)
        implements AutoCloseable {
    /** Items of a probe. */
    private static final int PROBED = 2;

    private static final String STATES = "use a reward of states, linear or linear-gaussian";

    /**
     * Loads a reward for a map.
     *
     * @param checkpoint of the map; its run's data provides the image that the reward observes
     * @param labels of the images that will be scored; empty for all classes
     * @throws IllegalArgumentException if the reward does not fit the map
     * @throws IOException if a file cannot be read
     */
    static LoadedReward of(
            RewardOption option, CheckpointOption checkpoint, MetaFlowMap map, long[] labels, long seed, Device device)
            throws IOException {
        RewardInputs inputs = RewardInputs.of(option.inputs(), checkpoint, map, labels, device);
        try (TensorScope scope = TensorScope.open()) {
            Optional<Tensor> image = option.spec().needs(RewardSpec.Input.IMAGE)
                    ? Optional.of(observed(option.image(), checkpoint, map, inputs.latents(), seed, device))
                    : Optional.empty();
            return of(option.spec(), map, image, inputs, true, seed, device);
        } catch (IOException | RuntimeException e) {
            inputs.close();
            throw e;
        }
    }

    /** Loads a reward that observes no image, for a map, with its own inputs. */
    static LoadedReward of(
            RewardSpec spec,
            RewardInputOption option,
            CheckpointOption checkpoint,
            MetaFlowMap map,
            long[] labels,
            long seed,
            Device device)
            throws IOException {
        RewardInputs inputs = RewardInputs.of(option, checkpoint, map, labels, device);
        try {
            return of(spec, map, Optional.empty(), inputs, true, seed, device);
        } catch (IOException | RuntimeException e) {
            inputs.close();
            throw e;
        }
    }

    /** Loads a reward without image, text and autoencoder, for a map. */
    static LoadedReward of(RewardSpec spec, MetaFlowMap map, long seed, Device device) throws IOException {
        return of(spec, map, Optional.empty(), RewardInputs.NONE, false, seed, device);
    }

    /** Loads another reward that observes no image, with this one's inputs; close it before this one. */
    LoadedReward other(RewardSpec spec, MetaFlowMap map, long seed, Device device) throws IOException {
        return of(spec, map, Optional.empty(), inputs, false, seed, device);
    }

    /** As {@link #other(RewardSpec, MetaFlowMap, long, Device)}, with a classifier that is not owned. */
    LoadedReward other(RewardSpec spec, MetaFlowMap map, ImageClassifier classifier, long seed, Device device)
            throws IOException {
        Reward reward =
                spec.open(new RewardContext(device, Optional.of(classifier), Optional.empty(), seed, inputs.texts()));
        try {
            Decoder fitting = decoder(reward, map, inputs);
            probe(reward, fitting, map, inputs, seed, device);
            return new LoadedReward(reward, fitting, null, inputs, false);
        } catch (RuntimeException e) {
            reward.close();
            throw e;
        }
    }

    private static LoadedReward of(
            RewardSpec spec,
            MetaFlowMap map,
            Optional<Tensor> image,
            RewardInputs inputs,
            boolean ownsInputs,
            long seed,
            Device device)
            throws IOException {
        FashionClassifier classifier = spec.needs(RewardSpec.Input.CLASSIFIER) ? classifier(spec, map, device) : null;
        Reward reward = null;
        try {
            reward = spec.open(new RewardContext(
                    device, Optional.<ImageClassifier>ofNullable(classifier), image, seed, inputs.texts()));
            Decoder decoder = decoder(reward, map, inputs);
            probe(reward, decoder, map, inputs, seed, device);
            return new LoadedReward(reward, decoder, classifier, inputs, ownsInputs);
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

    private static Decoder decoder(Reward reward, MetaFlowMap map, RewardInputs inputs) {
        if (reward.takesStates()) {
            return Decoder.IDENTITY;
        }
        LatentDecoder latents = inputs.latents();
        if (latents != null) {
            return latents;
        }
        Shape item = map.itemShape();
        if (!isImage(item)) {
            throw new IllegalArgumentException(
                    "--reward " + reward.name() + " scores images, and this map's items have shape " + item + ": "
                            + (item.dim() == 3
                                    ? "if they are latents, give the autoencoder that decodes them as --vae FILE"
                                    : STATES));
        }
        return new PixelDecoder();
    }

    /** Returns true for grey and coloured images. */
    private static boolean isImage(Shape item) {
        return item.dim() == 3 && (item.size(0) == 1 || item.size(0) == 3);
    }

    /** Noise instead of samples, because it costs no evaluation of the map. */
    private static void probe(
            Reward reward, Decoder decoder, MetaFlowMap map, RewardInputs inputs, long seed, Device device) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(seed, device);
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor states = random.normal(map.itemShape().prepend(PROBED));
            Condition condition = map.classes() == 0
                    ? Condition.none()
                    : Condition.labelled(Torch.full(probedLabel(inputs), DType.INT64, device, PROBED));
            Tensor samples = decoder.decode(states);
            RewardProbe.check(
                    reward, reward.takesStates() ? samples : samples.clampMin(0).clampMax(1), condition);
        }
    }

    /** Other classes may have no text. */
    private static int probedLabel(RewardInputs inputs) {
        return inputs.texts()
                .flatMap(texts -> texts.prompt().labels().stream().findFirst())
                .orElse(0);
    }

    /** Returns an item of the map's data as an image (C, H, W) in [0, 1], in the innermost open scope. */
    private static Tensor observed(
            int image,
            CheckpointOption checkpoint,
            MetaFlowMap map,
            @Nullable LatentDecoder latents,
            long seed,
            Device device)
            throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            CleanItems found = CleanItems.of(
                    map, checkpoint.classNames(map), checkpoint.config(), null, List.of(image), null, seed, device);
            Decoder decoder = latents == null ? new PixelDecoder() : latents;
            return scope.keep(decoder.decode(found.items()).select(0, 0));
        }
    }

    /** Returns the tilt of a strength. */
    Tilt tilt(double strength) {
        return new Tilt(
                reward,
                decoder,
                strength,
                decoder.equals(inputs.latents()) || hasNetwork(reward) ? inputs.atOnce() : 0);
    }

    /** Returns true if scores depend on more than the reward's text: on files, preparations and texts. */
    private static boolean hasNetwork(Reward reward) {
        return reward instanceof WeightedSum sum
                ? sum.terms().stream().anyMatch(term -> hasNetwork(term.reward()))
                : !reward.description().equals(reward.name());
    }

    /** Returns what scores depend on besides the reward's text: files, preparations and prompts. */
    Optional<String> settings() {
        return hasNetwork(reward) ? Optional.of(reward.description()) : Optional.empty();
    }

    /** Prints the settings that scores depend on, if there are any besides the reward's text. */
    void describe(PrintWriter terminal) {
        settings().ifPresent(text -> terminal.println("reward " + text));
        terminal.flush();
    }

    @Override
    public void close() {
        reward.close();
        if (classifier != null) {
            classifier.close();
        }
        if (ownsInputs) {
            inputs.close();
        }
    }
}
