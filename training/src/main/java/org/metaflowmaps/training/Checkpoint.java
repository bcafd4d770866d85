package org.metaflowmaps.training;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Safetensors;
import org.metaflowmaps.runtime.SafetensorsFile;
import org.metaflowmaps.runtime.Tensor;
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

    /** Puts a state back and returns the number of steps it had taken. */
    static long restore(Path file, State state) throws IOException {
        try (SafetensorsFile open = SafetensorsFile.open(file);
                TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            copy(open, file, VALUES, state.map.parameters().values());
            copy(open, file, AVERAGE, state.average.values());
            for (Map.Entry<String, Tensor> moment : state.optimizer.moments().entrySet()) {
                copy(open, file, MOMENT + moment.getKey(), moment.getValue());
            }
            state.random.restore(Safetensors.view(open, RANDOM).clone());
            long step = Long.parseLong(open.metadata().getOrDefault(STEP, "0"));
            state.optimizer.resumeAt(step);
            return step;
        } catch (IllegalArgumentException e) {
            throw new IOException(file + " is no checkpoint of this run: " + e.getMessage(), e);
        }
    }

    private static void copy(SafetensorsFile open, Path file, String name, Tensor into) throws IOException {
        Tensor saved = Safetensors.view(open, name);
        if (saved.numel() != into.numel()) {
            throw new IOException(file + " was written by another network: " + name + " has " + saved.numel() + " elements, this run's has "
                    + into.numel() + ". Resume with the config it was started with, or choose another output folder");
        }
        into.copy_(saved);
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
            String network = open.metadata().get(NETWORK);
            if (network == null) {
                throw new IOException(file + " does not say what network it holds (metadata '" + NETWORK + "'): it was not written by mfm");
            }
            MetaFlowMap map = Networks.zeros(JSON.readValue(network, TrainConfig.Model.class), device);
            try {
                NetworkFile.load(map, open, NetworkFile.PREFIX);
                return map;
            } catch (IOException | RuntimeException e) {
                map.close();
                throw e;
            }
        } catch (JacksonException | IllegalArgumentException e) {
            throw new IOException(file + ": metadata '" + NETWORK + "' is not understood: " + e.getMessage(), e);
        }
    }
}
