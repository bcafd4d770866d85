package org.metaflowmaps.models.checkpoint;

import java.io.IOException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.runtime.file.TensorFile;

/** Networks from files: a run's checkpoints, which say what they hold, and public files, which do not. */
public final class Networks {
    /** The metadata key under which a file says what network it holds, as JSON of {@link ModelConfig}. */
    public static final String SETTINGS = "network";

    /** The metadata key under which a run's checkpoint says how it is trained. */
    public static final String RUN = "run";

    private Networks() {}

    /**
     * The trained network of a checkpoint, with its averaged weights.
     *
     * @param file a checkpoint that this library wrote
     * @param device where the network shall live
     * @return owned by the caller
     * @throws IOException if the file is missing, damaged or no such checkpoint
     */
    public static MetaFlowMap load(Path file, Device device) throws IOException {
        try (TensorFile open = openAny(file)) {
            ModelConfig model = settings(open, file);
            try {
                return NetworkFile.read(model.network(), open, file, CheckpointLayout.at(open, NetworkFile.PREFIX), device);
            } catch (IOException e) {
                throw new IOException(file + ": " + e.getMessage(), e);
            }
        }
    }

    /**
     * Compares what a checkpoint says of its network with the tensors that it has, before anything is built; reads no value.
     *
     * @param file a checkpoint that this library wrote
     * @throws IOException if the file is missing, no such checkpoint, or claims a network that it does not hold
     */
    public static void check(Path file) throws IOException {
        try (TensorFile open = TensorFile.open(file)) {
            ModelConfig model = settings(open, file);
            try {
                NetworkFile.check(model.network(), open, file, CheckpointLayout.at(open, NetworkFile.PREFIX));
            } catch (IOException e) {
                throw new IOException(file + ": " + e.getMessage(), e);
            }
        }
    }

    /**
     * A trained network from a run's checkpoint or from a public file, to begin a network with.
     *
     * @param like the network it is wanted for: a public file's network is taken to have its settings
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged, or holds no network of a known layout
     * @throws IllegalArgumentException if the network it holds is another, or its clock can be seen to run the other way
     */
    public static MetaFlowMap load(Path path, ModelConfig like, Device device) throws IOException {
        try (TensorFile file = TensorFile.open(path)) {
            TransformerConfig wanted = like.transformer();
            CheckpointLayout layout = layout(path, file);
            if (wanted == null || saysItself(file, layout)) {
                return load(path, device);
            }
            requireClock(path, layout, wanted.zeroData(), "init", "model.transformer.is_zero_data");
            TransformerConfig plain = layout.family() == CheckpointLayout.Family.MFM ? wanted : wanted.withoutContext();
            return read(path, file, layout, plain.withLearnSigma(InferredConfig.of(file, layout).learnSigma()), device);
        }
    }

    /**
     * A trained network from a run's checkpoint or from a public file, to learn from: of whatever size.
     *
     * @param like the network that learns: settings that a public file's shapes do not show are taken from it
     * @param zeroData which way a public file's clock runs; null: the file's names have to show it
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged, or holds no network of a known layout
     * @throws IllegalArgumentException if the clock can be seen to run the other way, or is not known
     */
    public static MetaFlowMap teacher(Path path, ModelConfig like, @Nullable Boolean zeroData, Device device) throws IOException {
        try (TensorFile file = TensorFile.open(path)) {
            TransformerConfig wanted = like.transformer();
            CheckpointLayout layout = layout(path, file);
            if (wanted == null || saysItself(file, layout)) {
                MetaFlowMap network = load(path, device);
                boolean own = network instanceof FlowMapTransformer transformer && transformer.config().zeroData();
                if (zeroData != null && zeroData != own) {
                    network.close();
                    throw new IllegalArgumentException("config: teacher.is_zero_data is " + zeroData + ", but " + path
                            + " says of its own network that it is " + own + ": leave the setting null");
                }
                return network;
            }
            boolean clock = zeroData != null ? zeroData : layout.zeroData().orElseThrow(() -> new IllegalArgumentException(
                    "config: teacher.file names " + path + " (" + layout + "), which does not say which way its clock runs: set "
                    + "teacher.is_zero_data=true if it has data at time 0 and noise at 1, as DMF's, or false if it has noise at 0"));
            TransformerConfig found;
            try {
                found = InferredConfig.of(file, layout).config(wanted, clock);
            } catch (IllegalArgumentException e) {
                throw new IOException(path + ": " + e.getMessage(), e);
            }
            return read(path, file, layout, found, device);
        }
    }

    static CheckpointLayout layout(Path path, TensorFile file) throws IOException {
        try {
            return CheckpointLayout.detect(file).orElseThrow(() -> new IOException("the file holds no network of a known layout"));
        } catch (IOException e) {
            throw new IOException(path + ": " + e.getMessage(), e);
        }
    }

    /** True of a file that says what network it holds. */
    static boolean saysItself(TensorFile file, CheckpointLayout layout) {
        return layout.family() == CheckpointLayout.Family.OTHER || saysNetwork(file);
    }

    private static void requireClock(Path path, CheckpointLayout layout, boolean zeroData, String setting, String cure) {
        boolean known = layout.zeroData().orElse(zeroData);
        if (known != zeroData) {
            throw new IllegalArgumentException("config: " + setting + " names " + path + ", which by its names (" + layout
                    + ") is a network whose clock runs from " + (known ? "data to noise" : "noise to data")
                    + ", but model.transformer.is_zero_data is " + zeroData + ": set " + cure + "=" + known
                    + ", or, if the names mislead, write the network without its logvar_linear: mfm convert FILE OUT");
        }
    }

    private static MetaFlowMap read(Path path, TensorFile file, CheckpointLayout layout, TransformerConfig config, Device device)
            throws IOException {
        try {
            return NetworkFile.read(config, file, path, layout, device);
        } catch (IOException e) {
            throw new IOException(path + ": " + e.getMessage(), e);
        }
    }

    /**
     * Opens a checkpoint and finds it to be what was written.
     *
     * @param sealed false to take one without a seal too, if it is of a version that wrote none
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged
     */
    public static SafetensorsFile open(Path file, boolean sealed) throws IOException {
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

    /** Opens a network's file of either format; a checkpoint with a seal is verified. */
    private static TensorFile openAny(Path file) throws IOException {
        TensorFile open = TensorFile.open(file);
        if (!(open instanceof SafetensorsFile)) {
            return open;
        }
        open.close();
        return open(file, false);
    }

    /** True of a file that mfm wrote. */
    static boolean saysNetwork(TensorFile file) {
        return file.metadata().containsKey(SETTINGS);
    }

    /**
     * Checks that first weights say which way their clock runs.
     *
     * @param file a checkpoint of mfm or a public file
     * @throws IOException if they do not, or if the file is missing or damaged
     */
    public static void requireClock(Path file) throws IOException {
        try (TensorFile open = TensorFile.open(file)) {
            CheckpointLayout layout = layout(file, open);
            if (!saysItself(open, layout) && layout.zeroData().isEmpty()) {
                throw new IOException("config: init names " + file + " (" + layout + "), which does not say which way its clock runs: set "
                        + "model.transformer.is_zero_data=false if it has noise at time 0 and data at 1, as SiT's, or true if it has data at 0");
            }
        }
    }

    /**
     * What a file says of its own network.
     *
     * @throws IOException if it says nothing, or not understandably
     */
    public static ModelConfig settings(TensorFile open, Path file) throws IOException {
        String network = open.metadata().get(SETTINGS);
        if (network == null) {
            throw new IOException(file + " was not written by mfm: it does not say what network it holds (metadata '" + SETTINGS
                    + "') and which way its clock runs (is_zero_data). Begin a run with it: mfm train CONFIG init=" + file
                    + " model.transformer.is_zero_data=false, or true if it has data at time 0");
        }
        try {
            return StrictJson.read(network, ModelConfig.class);
        } catch (IllegalArgumentException e) {
            throw new IOException(file + ": metadata '" + SETTINGS + "' is not understood: " + e.getMessage(), e);
        }
    }
}
