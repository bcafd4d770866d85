package org.metaflowmaps.cli.option;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.LoadedNetwork;
import org.metaflowmaps.models.checkpoint.MissingSettingsException;
import org.metaflowmaps.models.checkpoint.NetworkSettings;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.runtime.Device;
import picocli.CommandLine.Option;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;
import tools.jackson.dataformat.yaml.YAMLMapper;

/** Settings of a public file's network that its tensors do not show. */
public final class NetworkOption {
    private static final YAMLMapper YAML = YAMLMapper.builder().build();
    private static final long MOST_BYTES = 1_000_000;

    @Option(
            names = "--model",
            paramLabel = "FILE",
            description =
                    "For a public SiT, DMF or MFM file: a YAML or JSON file of the network's settings that tensors do"
                            + " not show, such as num_heads, is_zero_data, encoder_depth, model_guidance_class_ws.")
    private @Nullable Path file;

    @Option(
            names = "--set",
            paramLabel = "KEY=VALUE",
            description = "One such setting, such as is_zero_data=false or "
                    + "model_guidance_class_ws=[1.5,2.5]; overrides --model. May be given several times.")
    private List<String> values = new ArrayList<>();

    @Option(
            names = "--prefix",
            paramLabel = "PREFIX",
            description = "For a file of several networks: the prefix of the wanted network's names, such as ema.")
    private @Nullable String prefix;

    /** Returns true if any of the options was given. */
    boolean isGiven() {
        return file != null || !values.isEmpty() || prefix != null;
    }

    /** Calls {@link Networks#check} with these settings. */
    void check(Path checkpoint) throws IOException {
        NetworkSettings settings = settings();
        try {
            Networks.check(checkpoint, settings);
        } catch (MissingSettingsException e) {
            throw advised(e, "--set", "--model");
        }
    }

    /** Calls {@link Networks#open} with these settings. */
    LoadedNetwork open(Path checkpoint, Device device) throws IOException {
        return Networks.open(checkpoint, settings(), device);
    }

    /** Returns a text that differs for other settings. */
    public String identity() throws IOException {
        return settings().toString();
    }

    private NetworkSettings settings() throws IOException {
        ObjectNode tree = file == null ? JsonNodeFactory.instance.objectNode() : read(file);
        for (String value : values) {
            int equals = value.indexOf('=');
            if (equals < 1) {
                throw new IllegalArgumentException(
                        "--set " + value + " is not a setting: write KEY=VALUE, such as is_zero_data=false");
            }
            try {
                tree.set(value.substring(0, equals), YAML.readTree(value.substring(equals + 1)));
            } catch (JacksonException e) {
                throw new IllegalArgumentException("--set " + value + ": " + e.getOriginalMessage(), e);
            }
        }
        NetworkSettings settings =
                parsed(tree, file == null ? "--set" : values.isEmpty() ? file.toString() : file + " and --set");
        return prefix == null ? settings : settings.prefix(prefix);
    }

    /**
     * Loads a network from a file, with settings from another file.
     *
     * @param settings null for none
     * @param option the option of the settings' file, for messages
     */
    public static LoadedNetwork open(Path checkpoint, @Nullable Path settings, String option, Device device)
            throws IOException {
        try {
            return Networks.open(
                    checkpoint,
                    settings == null ? NetworkSettings.none() : parsed(read(settings), settings.toString()),
                    device);
        } catch (MissingSettingsException e) {
            throw advised(e, null, option);
        }
    }

    private static IOException advised(MissingSettingsException missing, @Nullable String single, String option) {
        return new IOException(
                missing.getMessage() + ". Give "
                        + (single == null
                                ? ""
                                : "each with " + single + " " + missing.keys().getFirst() + "=VALUE, or ")
                        + "a YAML file of them with " + option + " FILE",
                missing);
    }

    private static NetworkSettings parsed(ObjectNode tree, String source) {
        try {
            return NetworkSettings.parse(tree.toString());
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(source + ": " + e.getMessage(), e);
        }
    }

    /** Reads the settings of a file: a plain mapping, or {@code model.transformer} of a run's configuration. */
    private static ObjectNode read(Path file) throws IOException {
        if (Files.size(file) > MOST_BYTES) {
            throw new IOException(file + " has " + Files.size(file)
                    + " bytes, expected a YAML file of settings of at most " + MOST_BYTES);
        }
        try {
            JsonNode tree = YAML.readTree(Files.readAllBytes(file));
            for (String inner : List.of("model", "transformer")) {
                tree = tree.get(inner) instanceof ObjectNode below ? below : tree;
            }
            if (tree instanceof ObjectNode settings) {
                return settings;
            }
        } catch (JacksonException e) {
            throw new IOException(file + ": " + e.getOriginalMessage(), e);
        }
        throw new IOException(file + " is not a YAML mapping of settings, such as " + Map.of("num_heads", 6));
    }
}
