package org.metaflowmaps.training;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
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
 * A training run in one safetensors file: the averaged weights under the public checkpoints' names, and under {@code train/} all
 * that is needed to continue as if the run had never stopped. It is sealed with its checksum, without which it is not read again.
 *
 * <p>{@code train/values}, {@code train/moment/*} and {@code train/more/*} are flat float32 buffers: the network's parameters in the
 * order of its {@link org.metaflowmaps.runtime.ParameterArena}, each from a multiple of 64 elements on, with zeros between.
 * {@code train/random} is the random source's state. The moving average is stored once, as the network's own tensors.
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
     * The version of the losses that the run trains with. Version 1 wrote none, and trained alpha-flow against τ, times 1/α; version 2
     * has its target at the size of mean-flow's.
     */
    static final String LOSSES = "losses_version";

    private static final int LOSSES_NOW = 2;
    private static final String TRAIN = "train/";

    /** Only in old files: the average is the file's network, so it is not written a second time. */
    private static final String AVERAGE = "train/average";

    private static final String RANDOM = "train/random";

    private Checkpoint() {}

    /**
     * What changes while a run trains; all of it belongs to the run.
     *
     * @param saved buffers by their names under {@code train/}, and counters by theirs in the metadata
     */
    record State(MetaFlowMap map, MovingAverage average, RandomSource random, Saved saved) {
        /** The buffers by their names in a file. */
        private Map<String, Tensor> buffers() {
            return saved.under(TRAIN).buffers();
        }

        /** The average by its names in a file: its parameters, which are the file's network, or one buffer in old files. */
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
     * What a file said beside its buffers.
     *
     * @param progress how far its run had come
     * @param counters those of the saved state
     * @param olderLosses true if a version of {@value #LOSSES} before this one wrote the file
     */
    record Restored(Progress progress, Map<String, Long> counters, boolean olderLosses) {}

    /**
     * True of a run's checkpoint whose network never saw an item without its label: {@code label_drop} was 0.
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
            Safetensors.writeSealed(file, metadata, tensors);
        }
    }

    /**
     * Puts a state back, but for its counters, and returns these with how far it had come.
     *
     * @param open as {@link Networks#open} gives it
     * @param file its name, for messages
     * @throws IOException if the file is not of this run or lacks a part; the state is then as it was
     */
    static Restored restore(SafetensorsFile open, Path file, RunIdentity run, State state) throws IOException {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            requireSameRun(open, file, run);
            requireSameClasses(open, file, run.classNames());
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
                        + " of the data, which is not where step " + progress.step() + " of this run begins: "
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

    /** Labels are the classes' places in their order: a folder more or less, and they would mean others. */
    private static void requireSameClasses(SafetensorsFile open, Path file, List<String> classNames)
            throws IOException {
        List<String> saved = Networks.classNames(open, file);
        if (!saved.isEmpty() && !classNames.isEmpty() && !saved.equals(classNames)) {
            throw new IOException(file + " was written with other classes: now " + listed(classNames) + ", then "
                    + listed(saved) + ". Bring the data back to these classes, or choose another output folder");
        }
    }

    private static String listed(List<String> names) {
        return names.size() + " (" + String.join(", ", names.subList(0, Math.min(12, names.size())))
                + (names.size() > 12 ? ", ..." : "") + ")";
    }

    /**
     * The names of the classes that a checkpoint's network was trained on, a label being an index into them.
     *
     * @param file a checkpoint that this library wrote
     * @return empty if they are not known; those of Fashion-MNIST for a run on it whose version wrote no names
     * @throws IOException if the file is missing, or no such checkpoint
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

    /** Returns a count of the metadata; {@code missing} if older versions did not write it, negative if all versions did. */
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

    /** The beginning of a text of the file, on one line. */
    private static String shown(SafetensorsFile open, String key) {
        String text = Texts.oneLine(String.valueOf(open.metadata().get(key)));
        return text.length() <= SHOWN ? text : text.substring(0, SHOWN) + "...";
    }

    /** A tensor of the file that takes the place of another, found to be its like. */
    private static Tensor saved(SafetensorsFile open, Path file, String name, Tensor like) throws IOException {
        Tensor saved = Safetensors.view(open, name);
        if (!saved.shape().equals(like.shape()) || saved.dtype() != like.dtype()) {
            throw new IOException(file + " cannot be resumed: " + name + " is " + saved + ", this run's is " + like);
        }
        return saved;
    }
}
