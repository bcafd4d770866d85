package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Network;
import org.metaflowmaps.models.vision.AestheticHead;
import org.metaflowmaps.models.vision.Clip;
import org.metaflowmaps.models.vision.ClipImageTower;
import org.metaflowmaps.models.vision.ImagePreparation;
import org.metaflowmaps.models.vision.ImageReward;
import org.metaflowmaps.models.vision.text.TokenBatch;
import org.metaflowmaps.models.vision.text.Tokenizer;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * A reward by a frozen network that scores images, for a text or alone. Texts are encoded once, when it is made. Grey
 * images count as coloured ones. Owns its networks.
 *
 * <p>Large batches are scored in parts of 16 images; give a {@link Tilt} fewer at once to bound the memory of gradients.
 */
public final class NetworkReward implements Reward {
    private static final long AT_ONCE = 16;
    private static final String NO_NETWORK = "network reward: a network is null";
    private static final int GIVEN = 0;
    private static final int PREPARED = 1;
    private static final int SCORED = 2;

    private final Options options;
    private final ImagePreparation preparation;
    private final List<Network> owned;
    private final long side;
    private final @Nullable PromptRows texts;
    private final Scoring scoring;
    private final String description;
    private final double rounding;
    private final Stages stages;

    /**
     * How images are prepared.
     *
     * @param score of the network
     * @param preprocessing one of the score's
     * @param antialiased false for the resizing of torchvision before 0.17, where the preprocessing has a choice
     */
    public record Options(ImageScore score, ImageScore.Preprocessing preprocessing, boolean antialiased) {
        /** Checks that the score has the preprocessing. */
        public Options {
            Preconditions.checkNotNull(score, "network reward: the score is null");
            Preconditions.checkNotNull(preprocessing, "network reward: the preprocessing is null");
            Preconditions.checkArgument(
                    antialiased || score.preparation(preprocessing).hasAntialiasing(),
                    "reward %s with preprocessing %s has no choice of antialiasing: leave antialias out",
                    score,
                    preprocessing);
        }

        /** Returns the options that Meta Flow Maps uses. */
        public static Options of(ImageScore score) {
            return new Options(score, score.usual(), true);
        }
    }

    /** Scores prepared images. */
    @FunctionalInterface
    private interface Scoring {
        /** Returns (B) of pixels (B, 3, side, side) and a row of each of the prompt's tensors for each image. */
        Tensor of(Tensor pixels, List<Tensor> rows);
    }

    private NetworkReward(
            Options options,
            String file,
            List<Network> owned,
            long side,
            @Nullable PromptRows texts,
            String prompt,
            Scoring scoring) {
        this.options = options;
        this.preparation = options.score().preparation(options.preprocessing());
        this.owned = owned;
        this.side = side;
        this.texts = texts;
        this.scoring = scoring;
        Tensor weights = owned.getFirst().parameters().values();
        Device device = weights.device();
        // Half precision, and TF32 on GPUs, round differently in batches of other sizes.
        double half = options.score().halfPrecision();
        this.rounding = weights.dtype() == DType.BFLOAT16 ? half : device.type() == Device.Type.CUDA ? half / 10 : 0;
        this.description = String.format(
                Locale.ROOT,
                "%s of %s: preprocessing %s, resized to %d pixels (%s), %s%s",
                options.score(),
                file,
                options.preprocessing(),
                side,
                preparation.describe(options.antialiased()),
                weights.dtype().name().toLowerCase(Locale.ROOT),
                prompt.isEmpty() ? "" : ", for " + prompt);
        this.stages = new Stages(
                device,
                "the images given to " + options.score() + ", so the map or its decoder made it",
                "the images prepared for " + options.score(),
                "the network of " + options.score() + ", or the image's class has no text in its prompt");
    }

    /**
     * Makes a score by CLIP: HPS v2, PickScore or the CLIP score.
     *
     * @param clip closed with the reward, also if this throws
     * @param file its name, for messages
     * @param tokenizer of the network's vocabulary
     */
    public static NetworkReward ofClip(Options options, Clip clip, String file, Tokenizer tokenizer, Prompt prompt) {
        Preconditions.checkNotNull(clip, NO_NETWORK);
        return closing(List.of(clip), () -> {
            Device device = clip.parameters().values().device();
            PromptRows texts = PromptRows.of(prompt, device, list -> {
                Tensor ids = shortened(known(options, tokenizer.batch(list), clip.vocabulary()));
                return List.of(Clip.unit(clip.textFeatures(ids.to(device))));
            });
            Scoring scoring = (pixels, rows) -> {
                Tensor cosine = Clip.unit(clip.imageFeatures(pixels))
                        .mul(rows.getFirst())
                        .sum(1);
                return switch (options.score()) {
                    case PICKSCORE -> cosine.mul(clip.logitScale());
                    case CLIP -> cosine.clampMin(0);
                    default -> cosine;
                };
            };
            return new NetworkReward(options, file, List.of(clip), clip.imageSide(), texts, prompt.toString(), scoring);
        });
    }

    /** Throws for token ids of another vocabulary. */
    private static TokenBatch known(Options options, TokenBatch batch, long vocabulary) {
        long largest = Math.round(batch.ids().max().item());
        Preconditions.checkArgument(
                largest < vocabulary,
                "reward %s: the tokenizer gives the id %s, and the network has %s ids: use the files of its tokenizer",
                options.score(),
                largest,
                vocabulary);
        return batch;
    }

    /** Cuts off the padding that all texts have; what follows the end token has no effect. */
    private static Tensor shortened(TokenBatch batch) {
        long longest = Math.round(batch.mask().sum(1).max().item());
        return batch.ids().narrow(1, 0, longest).contiguous();
    }

    /**
     * Makes a score by ImageReward.
     *
     * @param network closed with the reward, also if this throws
     * @param file its name, for messages
     * @param tokenizer of BERT
     */
    public static NetworkReward ofImageReward(
            Options options, ImageReward network, String file, Tokenizer tokenizer, Prompt prompt) {
        Preconditions.checkNotNull(network, NO_NETWORK);
        return closing(List.of(network), () -> {
            Device device = network.parameters().values().device();
            PromptRows texts = PromptRows.of(prompt, device, list -> {
                TokenBatch batch = known(options, tokenizer.batch(list), network.vocabulary());
                // Becomes NaN for images without a text, whose ids and mask are 0.
                Tensor hasText = Torch.zeros(list.size());
                return List.of(batch.ids().to(device), batch.mask().to(device), hasText.to(device));
            });
            return new NetworkReward(
                    options,
                    file,
                    List.of(network),
                    network.imageSide(),
                    texts,
                    prompt.toString(),
                    (pixels, rows) ->
                            network.score(pixels, rows.get(0), rows.get(1)).add(rows.get(2)));
        });
    }

    /**
     * Makes the aesthetic score.
     *
     * @param tower closed with the reward, also if this throws
     * @param head closed with the reward, also if this throws
     * @param file their name, for messages
     */
    public static NetworkReward ofAesthetic(Options options, ClipImageTower tower, AestheticHead head, String file) {
        Preconditions.checkNotNull(tower, NO_NETWORK);
        Preconditions.checkNotNull(head, NO_NETWORK);
        return closing(
                List.of(tower, head),
                () -> new NetworkReward(
                        options,
                        file,
                        List.of(tower, head),
                        tower.imageSide(),
                        null,
                        "",
                        (pixels, rows) -> head.score(tower.features(pixels))));
    }

    private static NetworkReward closing(List<Network> networks, Supplier<NetworkReward> maker) {
        try {
            return maker.get();
        } catch (RuntimeException e) {
            networks.forEach(Network::close);
            throw e;
        }
    }

    @Override
    public String name() {
        return isDifferentiable()
                ? options.score().toString()
                : options.score() + " (preprocessing=official: 8-bit pixels, without gradients)";
    }

    /** Returns the name, the file, the preparation of images, the precision and the prompt. */
    @Override
    public String description() {
        return description;
    }

    @Override
    public double rounding() {
        return rounding;
    }

    @Override
    public boolean isDifferentiable() {
        return preparation.isDifferentiable();
    }

    @Override
    public Tensor score(Tensor samples, Condition condition) {
        Checks.images(name(), samples);
        long items = samples.size(0);
        Preconditions.checkArgument(
                samples.size(1) == 3 || samples.size(1) == 1,
                "reward %s: images are %s, expected 3 channels, or 1 for grey",
                name(),
                samples);
        try (TensorScope scope = TensorScope.open()) {
            List<Tensor> rows = texts == null ? List.of() : texts.at(name(), condition, items);
            List<Tensor> parts = new ArrayList<>();
            for (long from = 0; from < items; from += AT_ONCE) {
                long begin = from;
                long size = Math.min(AT_ONCE, items - from);
                parts.add(part(
                        samples.narrow(0, begin, size),
                        rows.stream().map(row -> row.narrow(0, begin, size)).toList()));
            }
            return scope.keep(parts.size() == 1 ? parts.getFirst() : Torch.cat(0, parts.toArray(Tensor[]::new)));
        }
    }

    private Tensor part(Tensor images, List<Tensor> rows) {
        try (TensorScope scope = TensorScope.open()) {
            stages.note(GIVEN, images);
            Tensor wide = images.dtype() == DType.FLOAT64 ? images : images.to(DType.FLOAT32);
            Tensor colour = wide.size(1) == 3 ? wide : wide.expand(-1, 3, -1, -1);
            Tensor pixels = preparation.prepare(colour, side, options.antialiased());
            stages.note(PREPARED, pixels);
            Tensor score = scoring.of(pixels, rows).to(images.dtype());
            stages.note(SCORED, score);
            return scope.keep(score);
        }
    }

    @Override
    public String diagnosis() {
        return stages.diagnosis();
    }

    @Override
    public void close() {
        stages.close();
        if (texts != null) {
            texts.close();
        }
        owned.forEach(Network::close);
    }
}
