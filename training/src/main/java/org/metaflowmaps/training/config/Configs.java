package org.metaflowmaps.training.config;

import com.google.common.base.Splitter;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.internal.Suggestions;
import org.metaflowmaps.training.data.DataConfig;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.DatabindException;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.cfg.EnumFeature;
import tools.jackson.databind.exc.InvalidFormatException;
import tools.jackson.databind.exc.MismatchedInputException;
import tools.jackson.databind.exc.UnrecognizedPropertyException;
import tools.jackson.databind.node.ObjectNode;
import tools.jackson.dataformat.yaml.YAMLMapper;

/**
 * Reads training configurations: a YAML file overrides the defaults, and {@code key=value} settings override both.
 *
 * <p>Every setting has a default, so a file names only what differs. A setting's key is its path in the file,
 * {@code optimizer.clip}.
 */
public final class Configs {
    private static final YAMLMapper YAML = YAMLMapper.builder()
            .enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
            .enable(DeserializationFeature.FAIL_ON_READING_DUP_TREE_KEY)
            .disable(DeserializationFeature.ACCEPT_FLOAT_AS_INT)
            .enable(EnumFeature.FAIL_ON_NUMBERS_FOR_ENUMS)
            .build();

    /** Enough for mixtures of many means; rejects a checkpoint given by mistake. */
    private static final long MOST_BYTES = 1_000_000;

    /**
     * The names of the built-in configurations: a subject and a stage, {@code mixture/distill}, or {@code quickstart}.
     */
    public static final List<String> BUILT_IN = Stream.concat(
                    Stream.of("quickstart"),
                    Stream.of("mixture", "fashion-mnist", "sit-b2", "sit-xl2")
                            .flatMap(subject -> Stream.of("flow", "flow-map", "meta-flow-map", "distill")
                                    .map(stage -> subject + "/" + stage)))
            .toList();

    private static final String CLOCK = "is_zero_data";

    private Configs() {}

    /**
     * A complete configuration.
     *
     * @param yaml the whole configuration as a YAML text, which {@link #load} reads again
     * @param config the parsed configuration
     * @param clockGiven true if the file or a setting gives {@code model.transformer.is_zero_data}
     */
    public record Resolved(String yaml, TrainConfig config, boolean clockGiven) {}

    /**
     * Loads a configuration.
     *
     * @param name a YAML file, or one of the {@linkplain #BUILT_IN built-in configurations} if there is no such file
     * @param overrides {@code key=value} settings above it, the value in YAML; null fills in a size that follows from
     *     the data
     * @throws IOException if there is neither, the file cannot be read, or a setting is unknown or of another kind
     * @throws IllegalArgumentException if a value is out of range
     */
    public static Resolved load(String name, List<String> overrides) throws IOException {
        Path file = Path.of(Objects.requireNonNull(name, "name"));
        if (Files.isRegularFile(file)) {
            return resolve(file.toString(), read(file), overrides);
        }
        try (InputStream shipped = BUILT_IN.contains(name) ? Configs.class.getResourceAsStream(name + ".yaml") : null) {
            if (shipped == null) {
                throw new IOException(name + (Files.exists(file) ? " is not a file" : " does not exist")
                        + Suggestions.didYouMean(name, BUILT_IN)
                        + ": give a YAML file, or one of the built-in configurations: "
                        + String.join(", ", BUILT_IN));
            }
            return resolve(name, new String(shipped.readAllBytes(), StandardCharsets.UTF_8), overrides);
        }
    }

    private static String read(Path file) throws IOException {
        if (Files.size(file) > MOST_BYTES) {
            throw new IOException(
                    file + " has " + Files.size(file) + " bytes, expected a YAML file of at most " + MOST_BYTES);
        }
        try {
            return Files.readString(file);
        } catch (CharacterCodingException e) {
            throw new IOException(file + " is not UTF-8 text: give a YAML file", e);
        }
    }

    /**
     * Reads a configuration from a text.
     *
     * @param source the text's name in error messages
     * @param text YAML; empty for the defaults
     * @param overrides {@code key=value} settings above it, as {@link #load} takes them
     * @throws IOException if the text is not a YAML mapping, or a setting is unknown or of the wrong type
     * @throws IllegalArgumentException if a value is out of range
     */
    public static Resolved resolve(String source, String text, List<String> overrides) throws IOException {
        ObjectNode tree = defaults();
        try {
            JsonNode given = YAML.readTree(text);
            if (!given.isMissingNode() && !given.isNull()) {
                if (!(given instanceof ObjectNode object)) {
                    throw new IOException(source + " is not a YAML mapping of settings");
                }
                OlderSettings.renew(source, object);
                merge(tree, object);
                withoutOldHoldOut(tree, object);
            }
            return resolve(tree, overrides);
        } catch (JacksonException e) {
            throw new IOException(source + ": " + explain(e), e);
        }
    }

    /** Returns a configuration with some settings changed. */
    static TrainConfig with(TrainConfig config, List<String> overrides) throws IOException {
        try {
            return resolve(YAML.valueToTree(config), overrides).config;
        } catch (JacksonException e) {
            throw new IOException(explain(e), e);
        }
    }

    private static Resolved resolve(ObjectNode tree, List<String> overrides) throws IOException {
        for (String override : overrides) {
            set(tree, override);
        }
        boolean clockGiven = !(tree.path("model").get("transformer") instanceof ObjectNode transformer
                && transformer.path(CLOCK).isNull());
        if (!clockGiven) {
            ((ObjectNode) tree.path("model").get("transformer")).put(CLOCK, false);
        }
        fillHoldOut(tree);
        OpenSettings.fillData(tree, Configs::data);
        fillShapes(tree);
        return new Resolved(YAML.writeValueAsString(tree), YAML.treeToValue(tree, TrainConfig.class), clockGiven);
    }

    /** Sets null sizes of the model from the data. */
    private static void fillShapes(ObjectNode tree) throws IOException {
        DataConfig data = data(tree.path("data"));
        if (data != null && tree.get("model") instanceof ObjectNode model) {
            OpenSettings.fill(model, data);
        }
    }

    /** Returns the section of the data; null if it is wrong, which reading the whole configuration reports. */
    @SuppressWarnings("UnusedException")
    private static @Nullable DataConfig data(JsonNode section) {
        try {
            return YAML.treeToValue(section, DataConfig.class);
        } catch (JacksonException e) {
            // Reading the whole configuration names the setting in full.
            return null;
        }
    }

    /** Returns {@code key=value} for a text, quoted so that YAML does not convert it. */
    public static String setting(String key, String text) {
        return key + "='" + text.replace("'", "''") + "'";
    }

    private static ObjectNode defaults() throws IOException {
        try (InputStream in = Objects.requireNonNull(Configs.class.getResourceAsStream("defaults.yaml"))) {
            return (ObjectNode) YAML.readTree(in.readAllBytes());
        }
    }

    /**
     * Handles a run's file of a version without {@code flip}, which ignored {@code hold_out} for images and latents;
     * {@code variance} shows that a run wrote the file.
     */
    private static void withoutOldHoldOut(ObjectNode tree, ObjectNode given) {
        if (tree.get("data") instanceof ObjectNode data
                && given.path("data").has("variance")
                && !given.path("data").has("flip")
                && defaultHoldOut(data) == 0) {
            data.put("hold_out", 0);
        }
    }

    /** Replaces null by the default, which depends on the data. */
    private static void fillHoldOut(ObjectNode tree) {
        if (tree.get("data") instanceof ObjectNode data && data.path("hold_out").isNull()) {
            data.put("hold_out", defaultHoldOut(data));
        }
    }

    /** The default of this kind of data; 0 if there is no such kind, which is refused later by its name. */
    private static int defaultHoldOut(ObjectNode data) {
        JsonNode name = data.path("kind");
        return Arrays.stream(DataConfig.Kind.values())
                .filter(kind -> YAML.valueToTree(kind).equals(name))
                .mapToInt(DataConfig.Kind::holdOut)
                .findFirst()
                .orElse(0);
    }

    private static void merge(ObjectNode base, ObjectNode over) {
        for (Map.Entry<String, JsonNode> entry : over.properties()) {
            JsonNode below = base.get(entry.getKey());
            if (below instanceof ObjectNode inner && entry.getValue() instanceof ObjectNode outer) {
                merge(inner, outer);
            } else {
                base.set(entry.getKey(), entry.getValue());
            }
        }
    }

    private static void set(ObjectNode tree, String given) throws IOException {
        String override = OlderSettings.renew(given);
        if (override.isEmpty()) {
            return;
        }
        int equals = override.indexOf('=');
        if (equals < 1) {
            throw new IOException(
                    "'" + override + "' is not a setting: write key=value, such as optimizer.learning_rate=3e-4");
        }
        List<String> path = Splitter.on('.').splitToList(override.substring(0, equals));
        ObjectNode parent = tree;
        for (String name : path.subList(0, path.size() - 1)) {
            if (!(parent.get(name) instanceof ObjectNode inner)) {
                throw new IOException(unknown(override.substring(0, equals), name, parent.propertyNames()));
            }
            parent = inner;
        }
        String key = path.getLast();
        if (!parent.has(key)) {
            List<String> elsewhere = paths("", key, tree);
            throw new IOException(
                    Suggestions.nearest(key, parent.propertyNames()).isPresent() || elsewhere.isEmpty()
                            ? unknown(override.substring(0, equals), key, parent.propertyNames())
                            : "unknown setting '" + override.substring(0, equals) + "': did you mean '"
                                    + String.join("' or '", elsewhere) + "'?");
        }
        parent.set(key, YAML.readTree(override.substring(equals + 1)));
    }

    /** Returns the full names of the settings that end in this key. */
    private static List<String> paths(String prefix, String key, ObjectNode tree) {
        List<String> found = new ArrayList<>();
        for (Map.Entry<String, JsonNode> entry : tree.properties()) {
            if (entry.getKey().equals(key)) {
                found.add(prefix + key);
            }
            if (entry.getValue() instanceof ObjectNode inner) {
                found.addAll(paths(prefix + entry.getKey() + ".", key, inner));
            }
        }
        return found;
    }

    private static String explain(JacksonException failure) {
        if (failure instanceof UnrecognizedPropertyException unrecognised) {
            List<String> known = Objects.requireNonNullElse(unrecognised.getKnownPropertyIds(), List.of()).stream()
                    .map(String::valueOf)
                    .toList();
            return unknown(path(unrecognised), unrecognised.getPropertyName(), known);
        }
        if (failure instanceof InvalidFormatException invalid && invalid.getTargetType() != null) {
            return "setting '" + path(invalid) + "' is '" + invalid.getValue() + "', expected "
                    + expected(invalid.getTargetType())
                    + Suggestions.didYouMean(String.valueOf(invalid.getValue()), values(invalid.getTargetType()));
        }
        String where = failure instanceof DatabindException databind
                        && !databind.getPath().isEmpty()
                ? path(databind) + ": "
                : "";
        if (failure instanceof MismatchedInputException mismatch
                && mismatch.getTargetType() != null
                && mismatch.getTargetType().isRecord()
                && !(failure.getCause() instanceof IllegalArgumentException)) {
            return "setting '" + path(mismatch)
                    + "' needs a mapping such as {name: value}, not a single value or a list";
        }
        // Unwrap the exception of a record's range check, which Jackson wraps.
        return failure.getCause() instanceof IllegalArgumentException refused
                ? String.valueOf(refused.getMessage())
                : where + failure.getOriginalMessage();
    }

    /** Returns the values of an enum by their names in files; empty for other types. */
    static List<String> values(Class<?> type) {
        if (type == boolean.class || type == Boolean.class) {
            return List.of("true", "false");
        }
        return type.isEnum()
                ? Arrays.stream(type.getEnumConstants())
                        .map(value -> YAML.valueToTree(value).asString())
                        .toList()
                : List.of();
    }

    private static String expected(Class<?> type) {
        if (type.isEnum()) {
            return "one of " + String.join(", ", values(type));
        }
        return type == int.class || type == long.class
                ? "a whole number"
                : type == double.class
                        ? "a number"
                        : type == boolean.class || type == Boolean.class
                                ? "true or false"
                                : type == String.class ? "a text" : "another type of value";
    }

    private static String path(JacksonException failure) {
        StringBuilder path = new StringBuilder();
        for (JacksonException.Reference step : failure.getPath()) {
            path.append(path.isEmpty() ? "" : ".")
                    .append(step.getPropertyName() == null ? "[" + step.getIndex() + "]" : step.getPropertyName());
        }
        return path.toString();
    }

    private static String unknown(String path, String key, Collection<String> known) {
        return "unknown setting '" + path + "'"
                + Suggestions.didYouMean(key, known).replaceFirst("^$", ".") + " Known here: "
                + String.join(", ", known);
    }
}
