package org.metaflowmaps.training;

import com.google.common.base.Preconditions;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.training.config.TrainConfig;

/** What stays the same while a run is stopped and continued. Its checkpoints say it, and those of another run are refused. */
public final class RunIdentity {
    private final ModelConfig network;
    private final String settings;
    private final Function<String, @Nullable String> difference;
    private final List<String> classNames;
    private final long itemsPerStep;

    private RunIdentity(
            ModelConfig network,
            String settings,
            Function<String, @Nullable String> difference,
            List<String> classNames,
            long itemsPerStep) {
        this.network = network;
        this.settings = settings;
        this.difference = difference;
        this.classNames = List.copyOf(classNames);
        this.itemsPerStep = itemsPerStep;
    }

    /** The training run of a configuration. */
    static RunIdentity of(TrainConfig config, List<String> classNames) {
        return new RunIdentity(
                config.model(),
                RunSettings.of(config),
                saved -> RunSettings.difference(saved, config),
                classNames,
                (long) config.batch() * config.accumulate());
    }

    /**
     * A run that is no {@link TrainingRun}.
     *
     * @param network what it trains
     * @param settings all that may not change when the run continues, by name: texts, numbers, truth values, lists and maps of them
     * @param classNames names of the classes by label; empty if they have none
     * @param itemsPerStep items of the data that a step takes, at least 1
     */
    public static RunIdentity of(
            ModelConfig network, Map<String, ?> settings, List<String> classNames, long itemsPerStep) {
        Preconditions.checkNotNull(network, "run: the network's configuration is null");
        Preconditions.checkArgument(itemsPerStep > 0, "run: %s items per step, expected at least 1", itemsPerStep);
        String text = RunSettings.text(settings);
        return new RunIdentity(network, text, saved -> RunSettings.difference(saved, text), classNames, itemsPerStep);
    }

    ModelConfig network() {
        return network;
    }

    /** The settings as a checkpoint's metadata have them. */
    String settings() {
        return settings;
    }

    /**
     * The first setting in which this run differs from a checkpoint's; null if none does.
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

    /** How many items were drawn before a step. */
    long position(long step) {
        return Math.multiplyExact(step, itemsPerStep);
    }
}
