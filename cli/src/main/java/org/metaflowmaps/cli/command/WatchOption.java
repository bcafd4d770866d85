package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.CheckpointOption;
import org.metaflowmaps.cli.option.ClassNames;
import org.metaflowmaps.cli.option.ClassOption;
import org.metaflowmaps.cli.option.RewardOption;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.steering.finetune.IndependentReward;
import org.metaflowmaps.steering.reward.RewardSpec;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** The evaluations of a fine-tuning run. */
public final class WatchOption {
    @Option(
            names = "--independent",
            paramLabel = "REWARD",
            converter = RewardOption.Converter.class,
            description =
                    "Another reward to watch: its best checkpoint is kept, and the run stops or lowers the strength"
                            + " when it falls (settings evaluate_every, patience, lowering). Rewards of classes use"
                            + " another classifier than --reward. Default: for rewards of classes, the same by that"
                            + " classifier.")
    private @Nullable RewardSpec independent;

    @Option(names = "--no-independent", description = "Watch no reward.")
    private boolean unwatched;

    @Option(
            names = "--independent-samples",
            paramLabel = "N",
            description = "Samples for it, and for the other numbers of an evaluation. Default: ${DEFAULT-VALUE}.")
    private int samples = 100;

    @Option(
            names = "--independent-steps",
            paramLabel = "K",
            description = "Euler steps of each. Default: ${DEFAULT-VALUE}.")
    private int steps = 50;

    @Mixin
    private final ClassOption classes = new ClassOption();

    int samples() {
        return samples;
    }

    int steps() {
        return steps;
    }

    /**
     * Throws if the options do not fit each other.
     *
     * @throws IllegalArgumentException with the option
     */
    void check() {
        if (samples < 1 || samples > 100_000) {
            throw new IllegalArgumentException(
                    "--independent-samples " + samples + " is out of range: give 1 to 100000");
        }
        if (unwatched && independent != null) {
            throw new IllegalArgumentException(
                    "--independent " + independent + " and --no-independent were given: give one of them");
        }
        TimeGrid.uniform(steps);
    }

    /** Returns what is watched, for people. */
    String name() {
        return independent == null ? "the judge" : independent.toString();
    }

    /**
     * Opens the reward to watch, owned by the caller.
     *
     * @param loaded the reward of the run
     * @param optimised its text
     * @param reference for Fashion-MNIST; null for other data
     * @return null if none is watched; by default the same as {@code optimised} by the judge, if it uses a classifier
     */
    @Nullable
    LoadedReward open(
            LoadedReward loaded,
            RewardSpec optimised,
            MetaFlowMap map,
            @Nullable FashionReference reference,
            long seed,
            Device device)
            throws IOException {
        boolean ofClasses = reference != null && optimised.needs(RewardSpec.Input.CLASSIFIER);
        RewardSpec spec = independent != null ? independent : ofClasses ? optimised : null;
        if (unwatched || spec == null) {
            return null;
        }
        return reference != null && !spec.needs(RewardSpec.Input.IMAGE)
                ? loaded.other(spec, map, reference.judge(), seed, device)
                : loaded.other(spec, map, seed, device);
    }

    /**
     * Returns the evaluation.
     *
     * @param optimised the reward of the run
     * @param watched from {@link #open}
     * @param scale guidance scale of labelled items; null for 1
     * @param out the run's folder
     * @return empty for data that are no images, if no reward is watched
     */
    Optional<IndependentReward> evaluation(
            CheckpointOption checkpoint,
            MetaFlowMap map,
            LoadedReward optimised,
            @Nullable LoadedReward watched,
            @Nullable FashionReference reference,
            @Nullable Double scale,
            long seed,
            Device device,
            Path out)
            throws IOException {
        if (watched == null && map.itemShape().dim() != 3) {
            return Optional.empty();
        }
        ClassNames names = checkpoint.classNames(map);
        long[] labels = classes.labels(map, names);
        return Optional.of(new StudentEvaluation(new StudentEvaluation.Setup(
                map,
                Arrays.stream(labels).mapToObj(names::of).toList(),
                new MapSamples(samples, labels, scale, seed, device),
                steps,
                optimised.tilt(1),
                Optional.ofNullable(watched).map(found -> found.tilt(1)),
                reference,
                new VisibleItems(map.itemShape(), optimised.inputs().latents()),
                out)));
    }
}
