package org.metaflowmaps.training;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.models.checkpoint.NetworkFile;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorException;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.runtime.file.TensorFile;
import org.metaflowmaps.runtime.internal.Texts;
import org.metaflowmaps.training.checkpoint.Saved;
import org.metaflowmaps.training.data.FashionMnist;
import org.metaflowmaps.training.optim.MovingAverage;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.json.JsonMapper;

/**
 * A training run in one safetensors file: the averaged weights under the public checkpoints' names, and under
 * {@code train/} everything needed to continue the run exactly. The file contains its own checksum, which is verified
 * before it is loaded.
 *
 * <p>{@code train/values}, {@code train/moment/*} and {@code train/more/*} are flat float32 buffers: the network's
 * parameters in the order of its {@link org.metaflowmaps.runtime.ParameterArena}, each aligned to 64 elements, with
 * zeros between. {@code train/random} is the random source's state. The moving average is stored once, as the network's
 * own tensors.
 */
public final class Checkpoint {
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final int SHOWN = 300;
    private static final String NETWORK = Networks.SETTINGS;
    private static final String RUN = Networks.RUN;
    private static final String STEP = "step";
    private static final String SKIPPED = "skipped";
    private static final String SKIPPED_IN_ROW = "skipped_in_a_row";
    private static final String REPLACED = "items_replaced";
    private static final String CLASS_NAMES = Networks.CLASS_NAMES;
    private static final String POSITION = "data_position";

    /**
     * The version of the run's losses; missing in version 1. Version 1 trained alpha-flow against τ, times 1/α; in
     * version 2 its error has mean-flow's size.
     */
    static final String LOSSES = "losses_version";

    private static final int LOSSES_NOW = 2;
    private static final String TRAIN = "train/";

    /** Only in old files; now the average is stored once, as the file's network. */
    private static final String AVERAGE = "train/average";

    private static final String RANDOM = "train/random";

    private Checkpoint() {}

    /**
     * The changing state of a run; the run owns all of it.
     *
     * @param saved buffers by name under {@code train/}, and counters by name in the metadata
     */
    record State(MetaFlowMap map, MovingAverage average, RandomSource random, Saved saved) {
        /** Returns the buffers by their names in a file. */
        private Map<String, Tensor> buffers() {
            return saved.under(TRAIN).buffers();
        }

        /** Returns the average by its names in a file: the file's network, or one buffer in old files. */
        private Map<String, Tensor> average(boolean old) {
            if (old) {
                return Map.of(AVERAGE, average.values());
            }
            Map<String, Tensor> views = new LinkedHashMap<>();
            for (String name : map.parameters().parameters().keySet()) {
                views.put(NetworkFile.PREFIX + name, map.parameters().view(name, average.values()));
            }
            return views;
        }
    }

    /**
     * A file's metadata about its run.
     *
     * @param progress the run's progress
     * @param counters the counters of the saved state
     * @param olderLosses true if a version of {@value #LOSSES} before this one wrote the file
     */
    record Restored(Progress progress, Map<String, Long> counters, boolean olderLosses) {}

    /**
     * Returns true for a run's checkpoint trained with {@code label_drop} 0, so that its network never saw an
     * unlabelled item.
     *
     * @throws IOException if the file is missing or damaged
     */
    public static boolean alwaysLabelled(Path file) throws IOException {
        try (TensorFile open = TensorFile.open(file)) {
            String run = open.metadata().get(RUN);
            return run != null && JSON.readTree(run).path("label_drop").asDouble(1) == 0;
        } catch (JacksonException e) {
            throw new IOException(file + ": metadata '" + RUN + "' is not JSON: " + e.getMessage(), e);
        }
    }

    static void write(Path file, RunIdentity run, State state, Progress progress) throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>(NetworkFile.tensors(state.map, state.average.values()));
            tensors.putAll(state.buffers());
            tensors.put(RANDOM, state.random.state());
            Map<String, String> metadata = new LinkedHashMap<>();
            metadata.put(NETWORK, JSON.writeValueAsString(run.network()));
            metadata.put(RUN, run.settings());
            metadata.put(LOSSES, Integer.toString(LOSSES_NOW));
            metadata.put(STEP, Long.toString(progress.step()));
            state.saved.counters().forEach((name, count) -> metadata.put(name, Long.toString(count)));
            metadata.put(SKIPPED, Long.toString(progress.skipped()));
            metadata.put(SKIPPED_IN_ROW, Integer.toString(progress.skippedInRow()));
            metadata.put(POSITION, Long.toString(run.position(progress.step())));
            if (progress.replaced() > 0) {
                metadata.put(REPLACED, Long.toString(progress.replaced()));
            }
            if (!run.classNames().isEmpty()) {
                metadata.put(CLASS_NAMES, JSON.writeValueAsString(run.classNames()));
            }
            LatentScaling latents = run.latents();
            if (latents != null) {
                metadata.put(Networks.LATENTS, latents.text());
            }
            Safetensors.writeSealed(file, metadata, tensors);
        }
    }

    /**
     * Restores a state except its counters; returns the counters and the progress.
     *
     * @param open a file from {@link Networks#open}
     * @param file its name, for messages
     * @throws IOException if the file is not of this run or a part is missing; the state is then unchanged
     */
    static Restored restore(SafetensorsFile open, Path file, RunIdentity run, State state) throws IOException {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            requireSameRun(open, file, run);
            requireSameClasses(open, file, run.classNames());
            requireSameLatents(open, file, run.latents());
            Map<String, Tensor> buffers = new LinkedHashMap<>(state.buffers());
            buffers.putAll(state.average(open.entries().containsKey(AVERAGE)));
            Map<String, Tensor> saved = new LinkedHashMap<>();
            for (Map.Entry<String, Tensor> buffer : buffers.entrySet()) {
                saved.put(buffer.getKey(), saved(open, file, buffer.getKey(), buffer.getValue()));
            }
            Tensor random = saved(open, file, RANDOM, state.random.state()).clone();
            Progress progress = new Progress(
                    number(open, file, STEP, -1),
                    number(open, file, SKIPPED, 0),
                    Math.toIntExact(number(open, file, SKIPPED_IN_ROW, 0)),
                    number(open, file, REPLACED, 0));
            Map<String, Long> counters = new LinkedHashMap<>();
            for (String name : state.saved.counters().keySet()) {
                counters.put(name, number(open, file, name, progress.step()));
            }
            long position = run.position(progress.step());
            if (number(open, file, POSITION, position) != position) {
                throw new IOException(file + " cannot be resumed: it is at item " + shown(open, POSITION)
                        + " of the data, but step " + progress.step() + " of this run begins elsewhere: "
                        + position);
            }
            boolean olderLosses = number(open, file, LOSSES, 1) < LOSSES_NOW;
            state.random.restore(random);
            saved.forEach(
                    (name, values) -> Objects.requireNonNull(buffers.get(name)).copy_(values));
            return new Restored(progress, counters, olderLosses);
        } catch (IllegalArgumentException | ArithmeticException | TensorException e) {
            throw new IOException(file + " cannot be resumed: " + e.getMessage(), e);
        }
    }

    private static void requireSameRun(SafetensorsFile open, Path file, RunIdentity present) throws IOException {
        String cure = ". Resume with the config it was started with, or choose another output folder";
        if (!Networks.settings(open, file).equals(present.network())) {
            throw new IOException(file + " was written by another network (" + shown(open, NETWORK) + ")" + cure);
        }
        String run = open.metadata().get(RUN);
        if (run != null) {
            String difference;
            try {
                difference = present.difference(run);
            } catch (IllegalArgumentException e) {
                throw new IOException(file + ": metadata '" + RUN + "' is not understood: " + e.getMessage(), e);
            }
            if (difference != null) {
                throw new IOException(file + " was written by another run: " + difference + cure);
            }
        }
    }

    /**
     * Checks that classes are unchanged: a label is an index into them, so an added or removed folder would change its
     * meaning.
     */
    private static void requireSameClasses(SafetensorsFile open, Path file, List<String> classNames)
            throws IOException {
        List<String> saved = Networks.classNames(open, file);
        if (!saved.isEmpty() && !classNames.isEmpty() && !saved.equals(classNames)) {
            throw new IOException(file + " was written with other classes: now " + listed(classNames) + ", then "
                    + listed(saved) + ". Restore these classes, or choose another output folder");
        }
    }

    /** Checks that the scaling of latents has not changed; older checkpoints have none. */
    private static void requireSameLatents(SafetensorsFile open, Path file, @Nullable LatentScaling latents)
            throws IOException {
        LatentScaling saved = Networks.latents(open, file).orElse(latents);
        if (latents != null && !latents.equals(saved)) {
            throw new IOException(file + " was written with other latents: now " + latents + ", then " + saved
                    + ". Restore the data, or choose another output folder");
        }
    }

    private static String listed(List<String> names) {
        return names.size() + " (" + String.join(", ", names.subList(0, Math.min(12, names.size())))
                + (names.size() > 12 ? ", ..." : "") + ")";
    }

    /**
     * Returns the class names of a checkpoint's network, indexed by label.
     *
     * @param file a checkpoint that this library wrote
     * @return empty if unknown; Fashion-MNIST's names for its runs of versions that wrote no names
     * @throws IOException if the file is missing, or is not such a checkpoint
     */
    public static List<String> classNames(Path file) throws IOException {
        try (TensorFile open = TensorFile.open(file)) {
            List<String> names = Networks.classNames(open, file);
            String run = open.metadata().get(RUN);
            if (!names.isEmpty() || run == null) {
                return names;
            }
            boolean fashion =
                    JSON.readTree(run).path("data").path("kind").asString("").equals("fashion-mnist");
            return fashion ? FashionMnist.CLASSES : List.of();
        } catch (JacksonException e) {
            throw new IOException(file + ": metadata '" + RUN + "' is not understood: " + e.getOriginalMessage(), e);
        }
    }

    /**
     * Returns a count of the metadata, or {@code missing} if it is not there; a negative {@code missing} means that
     * every version writes it.
     */
    private static long number(SafetensorsFile open, Path file, String key, long missing) throws IOException {
        String text = open.metadata().get(key);
        if (text == null && missing >= 0) {
            return missing;
        }
        try {
            long number = Long.parseLong(String.valueOf(text));
            if (number >= 0) {
                return number;
            }
            throw new IOException(file + " cannot be resumed: metadata '" + key + "' is " + shown(open, key)
                    + ", expected 0 or more");
        } catch (NumberFormatException e) {
            throw new IOException(
                    file + " cannot be resumed: metadata '" + key + "' is " + shown(open, key)
                            + ", expected a whole number",
                    e);
        }
    }

    /** Returns the beginning of a metadata text, on one line. */
    private static String shown(SafetensorsFile open, String key) {
        String text = Texts.oneLine(String.valueOf(open.metadata().get(key)));
        return text.length() <= SHOWN ? text : text.substring(0, SHOWN) + "...";
    }

    /** Returns a tensor of the file; throws unless shape and type equal those of {@code like}. */
    private static Tensor saved(SafetensorsFile open, Path file, String name, Tensor like) throws IOException {
        Tensor saved = Safetensors.view(open, name);
        if (!saved.shape().equals(like.shape()) || saved.dtype() != like.dtype()) {
            throw new IOException(file + " cannot be resumed: " + name + " is " + saved + ", this run's is " + like);
        }
        return saved;
    }
}
