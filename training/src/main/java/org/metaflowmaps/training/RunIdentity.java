package org.metaflowmaps.training;

import com.google.common.base.Preconditions;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.training.config.TrainConfig;

/**
 * The properties of a run that must not change when it resumes. Checkpoints contain them, and those of other runs are
 * rejected.
 */
public final class RunIdentity {
    private final ModelConfig network;
    private final String settings;
    private final Function<String, @Nullable String> difference;
    private final List<String> classNames;
    private final long itemsPerStep;
    private final @Nullable LatentScaling latents;

    private RunIdentity(
            ModelConfig network,
            String settings,
            Function<String, @Nullable String> difference,
            List<String> classNames,
            long itemsPerStep,
            @Nullable LatentScaling latents) {
        this.network = network;
        this.settings = settings;
        this.difference = difference;
        this.classNames = List.copyOf(classNames);
        this.itemsPerStep = itemsPerStep;
        this.latents = latents;
    }

    /** Returns the identity of a configuration's training run. */
    static RunIdentity of(TrainConfig config, List<String> classNames) {
        return new RunIdentity(
                config.model(),
                RunSettings.of(config),
                saved -> RunSettings.difference(saved, config),
                classNames,
                (long) config.batch() * config.accumulate(),
                null);
    }

    /**
     * Returns the identity of a run that is not a {@link TrainingRun}.
     *
     * @param network the trained network
     * @param settings the settings that must not change, by name: strings, numbers, booleans, lists and maps of these
     * @param classNames names of the classes by label; empty if they have none
     * @param itemsPerStep items per step, at least 1
     */
    public static RunIdentity of(
            ModelConfig network, Map<String, ?> settings, List<String> classNames, long itemsPerStep) {
        Preconditions.checkNotNull(network, "run: the network's configuration is null");
        Preconditions.checkArgument(itemsPerStep > 0, "run: %s items per step, expected at least 1", itemsPerStep);
        String text = RunSettings.text(settings);
        return new RunIdentity(
                network, text, saved -> RunSettings.difference(saved, text), classNames, itemsPerStep, null);
    }

    /** Returns the identity of a run on latents, whose checkpoints say how they follow from an autoencoder's. */
    public RunIdentity withLatents(LatentScaling scaling) {
        Preconditions.checkNotNull(scaling, "run: the scaling of latents is null");
        return new RunIdentity(network, settings, difference, classNames, itemsPerStep, scaling);
    }

    @Nullable
    LatentScaling latents() {
        return latents;
    }

    ModelConfig network() {
        return network;
    }

    /** Returns the settings as in a checkpoint's metadata. */
    String settings() {
        return settings;
    }

    /**
     * Returns the first difference of this run's settings from a checkpoint's; null if they are equal.
     *
     * @throws IllegalArgumentException if the saved text is not one JSON object
     */
    @Nullable
    String difference(String saved) {
        return difference.apply(saved);
    }

    List<String> classNames() {
        return classNames;
    }

    /** Returns the number of items drawn before a step. */
    long position(long step) {
        return Math.multiplyExact(step, itemsPerStep);
    }
}
