package org.metaflowmaps.cli.option;

import java.util.stream.LongStream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.SamplingMemory;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** The items of a run of steering, numbered over the whole run, so that the batch does not change them. */
public final class ItemsOption {
    private static final int MOST = 1_000_000;
    private static final int MOST_AT_ONCE = 64;

    @Mixin
    private ClassOption classes = new ClassOption();

    @Option(names = "--count", paramLabel = "N", description = "Samples of each class. Default: ${DEFAULT-VALUE}.")
    private int count = 4;

    @Option(
            names = "--batch",
            paramLabel = "B",
            description = "Samples drawn at once; changes only rounding. Default: up to 64, by the map's memory.")
    private @Nullable Integer batch;

    @Option(names = "--seed", paramLabel = "N", description = "Seed of the noise. Default: ${DEFAULT-VALUE}.")
    private long seed = 1;

    /**
     * Returns the options with values.
     *
     * @param classes as after {@code --class}; empty for all
     * @param count samples of each class
     * @param seed of the noise
     */
    public static ItemsOption of(String classes, int count, long seed) {
        ItemsOption items = new ItemsOption();
        items.classes = ClassOption.of(classes);
        items.count = count;
        items.seed = seed;
        items.check();
        return items;
    }

    /** Throws if a value is out of range. */
    public void check() {
        if (count < 1 || count > MOST) {
            throw new IllegalArgumentException("--count " + count + " is out of range: give 1 to " + MOST);
        }
        if (batch != null && (batch < 1 || batch > MOST)) {
            throw new IllegalArgumentException("--batch " + batch + " is out of range: give 1 to " + MOST);
        }
    }

    /** Returns the samples of each class. */
    public int count() {
        return count;
    }

    /** Returns the seed. */
    public long seed() {
        return seed;
    }

    /** Returns the label of every item: each class's items in a row. */
    public long[] labels(MetaFlowMap map, ClassNames names) {
        return LongStream.of(classes.labels(map, names))
                .flatMap(label -> LongStream.generate(() -> label).limit(count))
                .toArray();
    }

    /**
     * Returns the number of items drawn at once.
     *
     * @param states of one item that are evaluated at once, or as many as need the same memory
     */
    public int batch(MetaFlowMap map, int states) {
        return batch != null ? batch : Math.clamp(SamplingMemory.itemsAtOnce(map) / states, 1, MOST_AT_ONCE);
    }
}
