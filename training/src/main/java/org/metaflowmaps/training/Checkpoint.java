package org.metaflowmaps.training;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Safetensors;
import org.metaflowmaps.runtime.SafetensorsFile;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorException;
import org.metaflowmaps.runtime.TensorFile;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.training.config.ModelConfig;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.model.MetaFlowMap;
import org.metaflowmaps.training.model.NetworkFile;
import org.metaflowmaps.training.optim.MovingAverage;
import org.metaflowmaps.training.optim.Optimizer;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.json.JsonMapper;

/**
 * A training run in one safetensors file: the averaged weights under the public checkpoints' names, and under {@code train/} all
 * that is needed to go on as if the run had never stopped. It is sealed with its checksum, without which it is not read again.
 */
public final class Checkpoint {
    private static final JsonMapper JSON = JsonMapper.builder().enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES).build();
    private static final String NETWORK = "network";
    private static final String RUN = "run";
    private static final String STEP = "step";
    private static final String UPDATES = "updates";
    private static final String SKIPPED = "skipped";
    private static final String SKIPPED_IN_ROW = "skipped_in_a_row";
    private static final String POSITION = "data_position";
    private static final String VALUES = "train/values";
    private static final String AVERAGE = "train/average";
    private static final String RANDOM = "train/random";
    private static final String MORE = "train/more/";
    private static final String MOMENT = "train/moment/";

    private Checkpoint() {}

    /**
     * What changes while a run goes on; all of it belongs to the trainer.
     *
     * @param more further buffers by name, of whatever else a run trains
     */
    record State(MetaFlowMap map, Optimizer optimizer, MovingAverage average, RandomSource random, Map<String, Tensor> more) {
        /** All buffers by their names in a file. */
        private Map<String, Tensor> buffers() {
            Map<String, Tensor> buffers = new LinkedHashMap<>();
            buffers.put(VALUES, map.parameters().values());
            buffers.put(AVERAGE, average.values());
            optimizer.moments().forEach((name, moment) -> buffers.put(MOMENT + name, moment));
            more.forEach((name, buffer) -> buffers.put(MORE + name, buffer));
            return buffers;
        }
    }

    /**
     * How far a run has come.
     *
     * @param step steps done, from which the data's position follows
     * @param skipped those of them that changed nothing
     * @param skippedInRow those skipped since the last one that was taken
     */
    record Progress(long step, long skipped, int skippedInRow) {}

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

    static void write(Path file, TrainConfig config, State state, Progress progress) throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>(NetworkFile.tensors(state.map, state.average.values()));
            tensors.putAll(state.buffers());
            tensors.put(RANDOM, state.random.state());
            Map<String, String> metadata = new LinkedHashMap<>();
            metadata.put(NETWORK, JSON.writeValueAsString(config.model()));
            metadata.put(RUN, RunSettings.of(config));
            metadata.put(STEP, Long.toString(progress.step));
            metadata.put(UPDATES, Long.toString(state.optimizer.steps()));
            metadata.put(SKIPPED, Long.toString(progress.skipped));
            metadata.put(SKIPPED_IN_ROW, Integer.toString(progress.skippedInRow));
            metadata.put(POSITION, Long.toString(position(config, progress.step)));
            Safetensors.writeSealed(file, metadata, tensors);
        }
    }

    /** How many items were drawn before a step. */
    private static long position(TrainConfig config, long step) {
        return step * config.batch() * config.accumulate();
    }

    /**
     * Opens a checkpoint and finds it to be what was written.
     *
     * @param sealed false to take one without a seal too, if it is of a version that wrote none
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged
     */
    static SafetensorsFile open(Path file, boolean sealed) throws IOException {
        SafetensorsFile open = SafetensorsFile.open(file);
        try {
            // The run's settings came together with seals: damage to the seal's name does not make it an old file.
            if (sealed || open.isSealed() || open.metadata().containsKey(RUN)) {
                open.verify();
            }
            return open;
        } catch (IOException | RuntimeException e) {
            open.close();
            throw e;
        }
    }

    /**
     * Puts a state back and returns how far it had come.
     *
     * @param open as {@link #open} gives it
     * @param file its name, for messages
     * @throws IOException if the file is not of this run or lacks a part; the state is then as it was
     */
    static Progress restore(SafetensorsFile open, Path file, TrainConfig config, State state) throws IOException {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            requireSameRun(open, file, config);
            Map<String, Tensor> buffers = state.buffers();
            Map<String, Tensor> saved = new LinkedHashMap<>();
            for (Map.Entry<String, Tensor> buffer : buffers.entrySet()) {
                saved.put(buffer.getKey(), saved(open, file, buffer.getKey(), buffer.getValue()));
            }
            Tensor random = saved(open, file, RANDOM, state.random.state()).clone();
            Progress progress = new Progress(number(open, file, STEP, -1), number(open, file, SKIPPED, 0),
                    (int) number(open, file, SKIPPED_IN_ROW, 0));
            long updates = number(open, file, UPDATES, progress.step);
            long position = position(config, progress.step);
            if (number(open, file, POSITION, position) != position) {
                throw new IOException(file + " cannot be resumed: it is at item " + open.metadata()
                        .get(POSITION) + " of the data, which is not where step "
                        + progress.step + " of this run begins: " + position);
            }
            state.random.restore(random);
            saved.forEach((name, values) -> Objects.requireNonNull(buffers.get(name)).copy_(values));
            state.optimizer.resumeAt(updates);
            return progress;
        } catch (IllegalArgumentException | TensorException e) {
            throw new IOException(file + " cannot be resumed: " + e.getMessage(), e);
        }
    }

    private static void requireSameRun(SafetensorsFile open, Path file, TrainConfig config) throws IOException {
        String cure = ". Resume with the config it was started with, or choose another output folder";
        if (!network(open, file).equals(config.model())) {
            throw new IOException(file + " was written by another network (" + open.metadata().get(NETWORK) + ")" + cure);
        }
        String run = open.metadata().get(RUN);
        if (run != null) {
            try {
                String difference = RunSettings.difference(run, config);
                if (difference != null) {
                    throw new IOException(file + " was written by another run: " + difference + cure);
                }
            } catch (JacksonException e) {
                throw new IOException(file + ": metadata '" + RUN + "' is not understood: " + e.getOriginalMessage(), e);
            }
        }
    }

    /** A count among the metadata; {@code missing} stands for one that older versions did not write, and is negative if all did. */
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
            throw new IOException(file + " cannot be resumed: metadata '" + key + "' is " + text + ", expected 0 or more");
        } catch (NumberFormatException e) {
            throw new IOException(file + " cannot be resumed: metadata '" + key + "' is " + text + ", expected a whole number", e);
        }
    }

    /** A tensor of the file that takes the place of another, found to be its like. */
    private static Tensor saved(SafetensorsFile open, Path file, String name, Tensor like) throws IOException {
        Tensor saved = Safetensors.view(open, name);
        if (saved.numel() != like.numel() || saved.dtype() != like.dtype()) {
            throw new IOException(file + " cannot be resumed: " + name + " is " + saved + ", this run's is " + like);
        }
        return saved;
    }

    /** True of a file that mfm wrote. */
    static boolean saysNetwork(TensorFile file) {
        return file.metadata().containsKey(NETWORK);
    }

    private static ModelConfig network(SafetensorsFile open, Path file) throws IOException {
        String network = open.metadata().get(NETWORK);
        if (network == null) {
            throw new IOException(file + " does not say what network it holds (metadata '" + NETWORK + "'): it was not written by mfm");
        }
        try {
            @Nullable ModelConfig model = JSON.readValue(network, ModelConfig.class);
            Preconditions.checkArgument(model != null, "it is null");
            return model;
        } catch (JacksonException | IllegalArgumentException e) {
            throw new IOException(file + ": metadata '" + NETWORK + "' is not understood: " + e.getMessage(), e);
        }
    }

    /**
     * The trained network of a checkpoint, with its averaged weights.
     *
     * @param file a checkpoint that this library wrote
     * @param device where the network shall live
     * @return owned by the caller
     * @throws IOException if the file is missing, damaged or no such checkpoint
     */
    public static MetaFlowMap load(Path file, Device device) throws IOException {
        try (SafetensorsFile open = open(file, false)) {
            MetaFlowMap map = Networks.zeros(network(open, file), device);
            try {
                NetworkFile.load(map, open, NetworkFile.PREFIX);
                return map;
            } catch (IOException e) {
                map.close();
                throw new IOException(file + ": " + e.getMessage(), e);
            } catch (RuntimeException e) {
                map.close();
                throw e;
            }
        }
    }
}
