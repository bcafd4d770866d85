package org.metaflowmaps.models.checkpoint;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.models.model.NetworkConfig;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.runtime.file.TensorFile;

/** Networks from files: a run's checkpoints, which say what they hold, and public files, whose tensors show most of it. */
public final class Networks {
    /** The metadata key under which a file says what network it holds, as JSON of {@link ModelConfig}. */
    public static final String SETTINGS = "network";

    /** The metadata key under which a run's checkpoint says how it is trained. */
    public static final String RUN = "run";

    /** The metadata key under which a file names its classes, as a JSON list of texts. */
    public static final String CLASS_NAMES = "class_names";

    private Networks() {}

    /**
     * Loads the network of a run's checkpoint, with its averaged weights, or of a public SiT, DMF or MFM file that shows all its settings.
     *
     * @param file a safetensors file, one of PyTorch's, or a folder of shards with an index
     * @param device where the network shall live
     * @return owned by the caller
     * @throws MissingSettingsException if the file does not show all settings of its network: call {@link #open} with them
     * @throws IOException if the file is missing or damaged, or holds no network that is known
     */
    public static MetaFlowMap load(Path file, Device device) throws IOException {
        return open(file, NetworkSettings.none(), device).map();
    }

    /**
     * Loads the network of a file, and says what was found.
     *
     * @param file a run's checkpoint or a public file of SiT, DMF or MFM: safetensors, PyTorch's, or a folder of shards with an index
     * @param settings what the file does not show; may be more
     * @param device where the network shall live
     * @return owned by the caller
     * @throws MissingSettingsException if neither the file nor the settings show all that is needed
     * @throws IOException if the file is missing or damaged, or holds no network that is known
     * @throws IllegalArgumentException if a setting contradicts the file
     */
    public static LoadedNetwork open(Path file, NetworkSettings settings, Device device) throws IOException {
        try (TensorFile open = openAny(file)) {
            CheckpointLayout layout = layout(file, open, settings);
            NetworkConfig config = config(file, open, layout, settings);
            List<String> names = classNames(open, file);
            return new LoadedNetwork(
                    read(file, open, layout, config, device), config, layout, saysItself(open, layout), names);
        }
    }

    /**
     * Does all that {@link #open} does before a network is built: finds it, and compares its settings with the tensors that the file has.
     * Reads no value and needs no native library.
     *
     * @throws MissingSettingsException if neither the file nor the settings show all that is needed
     * @throws IOException if the file is missing, holds no network that is known, or claims one that it does not hold
     * @throws IllegalArgumentException if a setting contradicts the file
     */
    public static void check(Path file, NetworkSettings settings) throws IOException {
        try (TensorFile open = TensorFile.open(file)) {
            CheckpointLayout layout = layout(file, open, settings);
            NetworkConfig config = config(file, open, layout, settings);
            try {
                NetworkFile.check(config, open, file, layout);
            } catch (IOException e) {
                throw new IOException(file + ": " + e.getMessage(), e);
            }
        }
    }

    private static NetworkConfig config(Path path, TensorFile file, CheckpointLayout layout, NetworkSettings settings)
            throws IOException {
        try {
            if (saysItself(file, layout)) {
                return settings.agreed(settings(file, path).network());
            }
            InferredConfig shown;
            try {
                shown = InferredConfig.of(file, layout);
            } catch (IOException e) {
                throw new IOException(path + ": " + e.getMessage(), e);
            }
            return settings.completed(shown, path + " (" + layout + ")");
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(path + ": " + e.getMessage(), e);
        }
    }

    private static CheckpointLayout layout(Path path, TensorFile file, NetworkSettings settings) throws IOException {
        if (settings.prefix().isPresent()) {
            try {
                return CheckpointLayout.chosen(file, settings.prefix().get());
            } catch (IOException e) {
                throw new IOException(path + ": " + e.getMessage(), e);
            }
        }
        if (saysNetwork(file)) {
            // Settings that are not understood are named, whatever tensors lie beside them.
            settings(file, path);
            if (file.entries().keySet().stream().anyMatch(name -> name.startsWith(NetworkFile.PREFIX))) {
                return CheckpointLayout.at(file, NetworkFile.PREFIX);
            }
        }
        return layout(path, file);
    }

    /**
     * The names of the classes that a file's network was trained on, a label being an index into them.
     *
     * @param open stays the caller's
     * @param file its name, for messages
     * @return empty if the file has none
     * @throws IOException if they are not understood
     */
    public static List<String> classNames(TensorFile open, Path file) throws IOException {
        String text = open.metadata().get(CLASS_NAMES);
        try {
            return text == null ? List.of() : StrictJson.texts(text);
        } catch (IllegalArgumentException e) {
            throw new IOException(
                    file + ": metadata '" + CLASS_NAMES + "' is not understood, expected a JSON list of texts", e);
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
            CheckpointLayout layout = layout(path, file);
            if (saysItself(file, layout)) {
                return load(path, device);
            }
            TransformerConfig wanted = transformer(path, layout, like);
            requireClock(path, layout, wanted.zeroData(), "init", "model.transformer.is_zero_data");
            TransformerConfig plain = layout.family() == CheckpointLayout.Family.MFM ? wanted : wanted.withoutContext();
            return read(
                    path,
                    file,
                    layout,
                    plain.toBuilder()
                            .learnSigma(InferredConfig.of(file, layout).learnSigma())
                            .build(),
                    device);
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
    public static MetaFlowMap teacher(Path path, ModelConfig like, @Nullable Boolean zeroData, Device device)
            throws IOException {
        try (TensorFile file = TensorFile.open(path)) {
            CheckpointLayout layout = layout(path, file);
            if (saysItself(file, layout)) {
                MetaFlowMap network = load(path, device);
                boolean own = network instanceof FlowMapTransformer transformer
                        && transformer.config().zeroData();
                if (zeroData != null && zeroData != own) {
                    network.close();
                    throw new IllegalArgumentException("config: teacher.is_zero_data is " + zeroData + ", but " + path
                            + " says of its own network that it is " + own + ": leave the setting null");
                }
                return network;
            }
            TransformerConfig wanted = transformer(path, layout, like);
            boolean clock = zeroData != null
                    ? zeroData
                    : layout.zeroData()
                            .orElseThrow(() ->
                                    new IllegalArgumentException("config: teacher.file names " + path + " (" + layout
                                            + "), which does not say which way its clock runs: set"
                                            + " teacher.is_zero_data=true if it has data at time 0 and noise"
                                            + " at 1, as DMF's, or false if it has noise at 0"));
            TransformerConfig found;
            try {
                found = InferredConfig.of(file, layout).config(wanted, clock);
            } catch (IllegalArgumentException e) {
                throw new IOException(path + ": " + e.getMessage(), e);
            }
            return read(path, file, layout, found, device);
        }
    }

    private static TransformerConfig transformer(Path path, CheckpointLayout layout, ModelConfig like)
            throws IOException {
        if (like.transformer() == null) {
            throw new IOException(
                    path + " (" + layout + ") holds a transformer, but the settings are those of model.mlp");
        }
        return like.transformer();
    }

    static CheckpointLayout layout(Path path, TensorFile file) throws IOException {
        try {
            return CheckpointLayout.detect(file)
                    .orElseThrow(() -> new IOException("the file holds no network of a known layout"));
        } catch (IOException e) {
            throw new IOException(path + ": " + e.getMessage(), e);
        }
    }

    /** True of a file that says what network it holds. */
    static boolean saysItself(TensorFile file, CheckpointLayout layout) {
        return layout.family() == CheckpointLayout.Family.OTHER || saysNetwork(file);
    }

    private static void requireClock(
            Path path, CheckpointLayout layout, boolean zeroData, String setting, String cure) {
        boolean known = layout.zeroData().orElse(zeroData);
        if (known != zeroData) {
            throw new IllegalArgumentException(
                    "config: " + setting + " names " + path + ", which by its names (" + layout
                            + ") is a network whose clock runs from " + (known ? "data to noise" : "noise to data")
                            + ", but model.transformer.is_zero_data is " + zeroData + ": set " + cure + "=" + known
                            + ", or, if the names mislead, copy the network to a file without its logvar_linear");
        }
    }

    private static MetaFlowMap read(
            Path path, TensorFile file, CheckpointLayout layout, NetworkConfig config, Device device)
            throws IOException {
        try {
            return NetworkFile.read(config, file, path, layout, device);
        } catch (IOException e) {
            throw new IOException(path + ": " + e.getMessage(), e);
        }
    }

    /**
     * Opens a checkpoint that was written with a seal, and verifies it.
     *
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged, or has no seal
     */
    public static SafetensorsFile openSealed(Path file) throws IOException {
        return verified(file, open -> true);
    }

    /**
     * Opens a checkpoint, and verifies it unless it is of a version that wrote no seals.
     *
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged
     */
    public static SafetensorsFile openVerified(Path file) throws IOException {
        // The run's settings came together with seals: damage to the seal's name does not make it an old file.
        return verified(file, open -> open.isSealed() || open.metadata().containsKey(RUN));
    }

    private static SafetensorsFile verified(Path file, Predicate<SafetensorsFile> sealed) throws IOException {
        SafetensorsFile open = SafetensorsFile.open(file);
        try {
            if (sealed.test(open)) {
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
        return openVerified(file);
    }

    /** True of a file that this library wrote. */
    static boolean saysNetwork(TensorFile file) {
        return file.metadata().containsKey(SETTINGS);
    }

    /**
     * Checks that first weights say which way their clock runs.
     *
     * @param file a run's checkpoint or a public file
     * @throws IOException if they do not, or if the file is missing or damaged
     */
    public static void requireClock(Path file) throws IOException {
        try (TensorFile open = TensorFile.open(file)) {
            CheckpointLayout layout = layout(file, open);
            if (!saysItself(open, layout) && layout.zeroData().isEmpty()) {
                throw new IOException("config: init names " + file + " (" + layout
                        + "), which does not say which way its clock runs: set"
                        + " model.transformer.is_zero_data=false if it has noise at time 0 and data at 1, as"
                        + " SiT's, or true if it has data at 0");
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
            throw new IOException(file + " does not say what network it holds (metadata '" + SETTINGS
                    + "'): it is not a checkpoint of a run");
        }
        try {
            return StrictJson.read(network, ModelConfig.class);
        } catch (IllegalArgumentException e) {
            throw new IOException(file + ": metadata '" + SETTINGS + "' is not understood: " + e.getMessage(), e);
        }
    }
}
