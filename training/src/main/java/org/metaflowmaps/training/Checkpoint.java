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
import org.metaflowmaps.training.model.MetaFlowMap;
import org.metaflowmaps.training.model.NetworkFile;
import org.metaflowmaps.training.optim.MovingAverage;
import org.metaflowmaps.training.optim.Optimizer;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.json.JsonMapper;

/**
 * A training run in one safetensors file: the averaged weights under the public checkpoints' names, and under {@code train/} all
 * that is needed to go on as if the run had never stopped.
 */
public final class Checkpoint {
    private static final JsonMapper JSON = JsonMapper.builder().enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES).build();
    private static final String NETWORK = "network";
    private static final String STEP = "step";
    private static final String VALUES = "train/values";
    private static final String AVERAGE = "train/average";
    private static final String RANDOM = "train/random";
    private static final String MOMENT = "train/moment/";

    private Checkpoint() {}

    /** What changes while a run goes on; all of it belongs to the trainer. */
    record State(MetaFlowMap map, Optimizer optimizer, MovingAverage average, RandomSource random) {}

    static void write(Path file, TrainConfig.Model network, State state, long step) throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>(NetworkFile.tensors(state.map, state.average.values()));
            tensors.put(VALUES, state.map.parameters().values());
            tensors.put(AVERAGE, state.average.values());
            tensors.put(RANDOM, state.random.state());
            state.optimizer.moments().forEach((name, moment) -> tensors.put(MOMENT + name, moment));
            Safetensors.write(file, Map.of(NETWORK, JSON.writeValueAsString(network), STEP, Long.toString(step)), tensors);
        }
    }

    /**
     * Puts a state back and returns the number of steps it had taken.
     *
     * @throws IOException if the file is missing, damaged or of another run; the state is then as it was
     */
    static long restore(Path file, TrainConfig.Model network, State state) throws IOException {
        try (SafetensorsFile open = SafetensorsFile.open(file);
                TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            if (!network(open, file).equals(network)) {
                throw new IOException(file + " was written by another network (" + open.metadata().get(NETWORK)
                        + "). Resume with the config it was started with, or choose another output folder");
            }
            Map<String, Tensor> buffers = new LinkedHashMap<>();
            buffers.put(VALUES, state.map.parameters().values());
            buffers.put(AVERAGE, state.average.values());
            state.optimizer.moments().forEach((name, moment) -> buffers.put(MOMENT + name, moment));
            Map<String, Tensor> saved = new LinkedHashMap<>();
            for (Map.Entry<String, Tensor> buffer : buffers.entrySet()) {
                saved.put(buffer.getKey(), saved(open, file, buffer.getKey(), buffer.getValue()));
            }
            Tensor random = saved(open, file, RANDOM, state.random.state()).clone();
            long step = Long.parseLong(Objects.requireNonNullElse(open.metadata().get(STEP), "missing"));
            state.random.restore(random);
            saved.forEach((name, values) -> Objects.requireNonNull(buffers.get(name)).copy_(values));
            state.optimizer.resumeAt(step);
            return step;
        } catch (NumberFormatException e) {
            throw new IOException(file + " does not say how many steps were taken (metadata '" + STEP + "'): it cannot be resumed", e);
        } catch (IllegalArgumentException | TensorException e) {
            throw new IOException(file + " cannot be resumed: " + e.getMessage(), e);
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

    private static TrainConfig.Model network(SafetensorsFile open, Path file) throws IOException {
        String network = open.metadata().get(NETWORK);
        if (network == null) {
            throw new IOException(file + " does not say what network it holds (metadata '" + NETWORK + "'): it was not written by mfm");
        }
        try {
            TrainConfig.@Nullable Model model = JSON.readValue(network, TrainConfig.Model.class);
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
        try (SafetensorsFile open = SafetensorsFile.open(file)) {
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
