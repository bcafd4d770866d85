package org.metaflowmaps.models.checkpoint;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.Predicate;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.models.model.NetworkConfig;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.runtime.file.TensorFile;

/**
 * Loads networks from files: a run's checkpoints, which contain their settings, and public files, whose tensors show
 * most settings.
 */
public final class Networks {
    /** The metadata key of a network's settings, as JSON of {@link ModelConfig}. */
    public static final String SETTINGS = "network";

    /** The metadata key of a run's training settings. */
    public static final String RUN = "run";

    /** The metadata key of the class names, as a JSON list of texts. */
    public static final String CLASS_NAMES = "class_names";

    /** The metadata key of the scaling of latents, as JSON of {@link LatentScaling}. */
    public static final String LATENTS = "latents";

    private Networks() {}

    /**
     * Loads the network of a run's checkpoint, with its averaged weights, or of a public SiT, DMF or MFM file whose
     * tensors show all settings.
     *
     * @param file a safetensors file, one of PyTorch's, or a folder of shards with an index
     * @param device the network's device
     * @return owned by the caller
     * @throws MissingSettingsException if the file does not show all settings of its network: call {@link #open} with
     *     them
     * @throws IOException if the file is missing or damaged, or holds no known network
     */
    public static MetaFlowMap load(Path file, Device device) throws IOException {
        return open(file, NetworkSettings.none(), device).map();
    }

    /**
     * Loads the network of a file, with its settings.
     *
     * @param file a run's checkpoint or a public file of SiT, DMF or MFM: safetensors, PyTorch's, or a folder of shards
     *     with an index
     * @param settings settings that the file does not show; others are compared with it
     * @param device the network's device
     * @return owned by the caller
     * @throws MissingSettingsException if the file and the settings together are incomplete
     * @throws IOException if the file is missing or damaged, or holds no known network
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
     * Finds a file's network and compares its settings with the file's tensors, as {@link #open} does before it builds
     * the network. Reads no value and needs no native library.
     *
     * @throws MissingSettingsException if the file and the settings together are incomplete
     * @throws IOException if the file is missing, holds no known network, or its settings do not match its tensors
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
            // Report invalid settings first, for any tensors in the file.
            settings(file, path);
            if (file.entries().keySet().stream().anyMatch(name -> name.startsWith(NetworkFile.PREFIX))) {
                return CheckpointLayout.at(file, NetworkFile.PREFIX);
            }
        }
        return layout(path, file);
    }

    /**
     * Returns the class names of a file's network, indexed by label.
     *
     * @param open stays the caller's
     * @param file its name, for messages
     * @return empty if the file has none
     * @throws IOException if the names cannot be parsed
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
     * Returns how the latents that a file's network was trained on follow from an autoencoder's.
     *
     * @param open stays the caller's
     * @param file its name, for messages
     * @return empty if the file does not say
     * @throws IOException if the text cannot be parsed
     */
    public static Optional<LatentScaling> latents(TensorFile open, Path file) throws IOException {
        String text = open.metadata().get(LATENTS);
        try {
            return text == null ? Optional.empty() : Optional.of(LatentScaling.of(text));
        } catch (IllegalArgumentException e) {
            throw new IOException(file + ": metadata '" + LATENTS + "' is not understood: " + e.getMessage(), e);
        }
    }

    /**
     * Loads a trained network from a run's checkpoint or a public file, to initialise another network.
     *
     * @param like the network to initialise: a public file's network is assumed to have its settings
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged, or holds no network of a known layout
     * @throws IllegalArgumentException if the file's network differs, or its names show the other direction of time
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
     * Loads a teacher of any size from a run's checkpoint or a public file.
     *
     * @param like the student: gives the settings that a public file's shapes do not show
     * @param zeroData true if a public file's network has data at time 0; empty if the file's names show it
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged, or holds no network of a known layout
     * @throws IllegalArgumentException if the direction of time is unknown, or the file's names show the other one
     */
    public static MetaFlowMap teacher(Path path, ModelConfig like, Optional<Boolean> zeroData, Device device)
            throws IOException {
        try (TensorFile file = TensorFile.open(path)) {
            CheckpointLayout layout = layout(path, file);
            if (saysItself(file, layout)) {
                MetaFlowMap network = load(path, device);
                boolean own = network instanceof FlowMapTransformer transformer
                        && transformer.config().zeroData();
                if (zeroData.isPresent() && zeroData.get() != own) {
                    network.close();
                    throw new IllegalArgumentException("config: teacher.is_zero_data is " + zeroData.get() + ", but "
                            + path + " says that it is " + own + ": set it to null");
                }
                return network;
            }
            TransformerConfig wanted = transformer(path, layout, like);
            boolean clock = zeroData.or(layout::zeroData)
                    .orElseThrow(() -> new IllegalArgumentException("config: teacher.file names " + path + " (" + layout
                            + "), which does not say whether time 0 is noise or data: set"
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

    /** Returns true if a file contains the settings of its network. */
    static boolean saysItself(TensorFile file, CheckpointLayout layout) {
        return layout.family() == CheckpointLayout.Family.OTHER || saysNetwork(file);
    }

    private static void requireClock(
            Path path, CheckpointLayout layout, boolean zeroData, String setting, String cure) {
        boolean known = layout.zeroData().orElse(zeroData);
        if (known != zeroData) {
            throw new IllegalArgumentException(
                    "config: " + setting + " names " + path + ", which by its tensors' names (" + layout
                            + ") has times from " + (known ? "data to noise" : "noise to data")
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
     * Opens a checkpoint that contains its checksum, and verifies it.
     *
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged, or has no checksum
     */
    public static SafetensorsFile openSealed(Path file) throws IOException {
        return verified(file, open -> true);
    }

    /**
     * Opens a checkpoint, and verifies it unless an older version wrote it without checksum.
     *
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged
     */
    public static SafetensorsFile openVerified(Path file) throws IOException {
        // Files with a run's settings always have a checksum: verify even if damage hides the checksum's key.
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

    /** Opens a network's file of either format; verifies the checksum of a checkpoint. */
    private static TensorFile openAny(Path file) throws IOException {
        TensorFile open = TensorFile.open(file);
        if (!(open instanceof SafetensorsFile)) {
            return open;
        }
        open.close();
        return openVerified(file);
    }

    /** Returns true if this library wrote the file. */
    static boolean saysNetwork(TensorFile file) {
        return file.metadata().containsKey(SETTINGS);
    }

    /**
     * Checks that the file of first weights shows its direction of time.
     *
     * @param file a run's checkpoint or a public file
     * @throws IOException if it does not, or if the file is missing or damaged
     */
    public static void requireClock(Path file) throws IOException {
        try (TensorFile open = TensorFile.open(file)) {
            CheckpointLayout layout = layout(file, open);
            if (!saysItself(open, layout) && layout.zeroData().isEmpty()) {
                throw new IOException("config: init names " + file + " (" + layout
                        + "), which does not say whether time 0 is noise or data: set"
                        + " model.transformer.is_zero_data=false if it has noise at time 0 and data at 1, as"
                        + " SiT's, or true if it has data at 0");
            }
        }
    }

    /**
     * Returns the settings of its network that a file contains.
     *
     * @throws IOException if there are none, or they cannot be parsed
     */
    public static ModelConfig settings(TensorFile open, Path file) throws IOException {
        String network = open.metadata().get(SETTINGS);
        if (network == null) {
            throw new IOException(file + " does not contain the settings of its network (metadata '" + SETTINGS
                    + "'): it is not a checkpoint of a run");
        }
        try {
            return StrictJson.read(network, ModelConfig.class);
        } catch (IllegalArgumentException e) {
            throw new IOException(file + ": metadata '" + SETTINGS + "' is not understood: " + e.getMessage(), e);
        }
    }
}
