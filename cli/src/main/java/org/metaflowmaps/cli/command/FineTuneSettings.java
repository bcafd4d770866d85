package org.metaflowmaps.cli.command;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.metaflowmaps.runtime.internal.Suggestions;
import org.metaflowmaps.steering.finetune.FineTuneConfig;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.MapperFeature;
import tools.jackson.databind.PropertyNamingStrategies;
import tools.jackson.databind.cfg.EnumFeature;
import tools.jackson.databind.exc.MismatchedInputException;
import tools.jackson.databind.node.ObjectNode;
import tools.jackson.dataformat.yaml.YAMLMapper;

/** Settings of fine-tuning as words, such as {@code learning_rate=3e-5} or {@code loss.trust=0.1}. */
final class FineTuneSettings {
    private static final YAMLMapper YAML = YAMLMapper.builder()
            .propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
            .enable(MapperFeature.ACCEPT_CASE_INSENSITIVE_ENUMS)
            .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
            .disable(DeserializationFeature.ACCEPT_FLOAT_AS_INT)
            .enable(EnumFeature.FAIL_ON_NUMBERS_FOR_ENUMS)
            .build();

    private FineTuneSettings() {}

    /**
     * Changes settings.
     *
     * @param words {@code key=value}, the value in YAML
     * @throws IllegalArgumentException if a setting is unknown, or its value is of another kind or out of range
     */
    static FineTuneConfig with(FineTuneConfig config, List<String> words) {
        ObjectNode tree = YAML.valueToTree(config);
        try {
            for (String word : words) {
                set(tree, word);
            }
            return YAML.treeToValue(tree, FineTuneConfig.class);
        } catch (JacksonException e) {
            throw new IllegalArgumentException(explain(e), e);
        }
    }

    /** Returns the text of a file that describes a run. */
    static String describe(Map<String, ?> facts) {
        return YAML.writeValueAsString(facts);
    }

    /** Returns the names of all settings, those of the loss with {@code loss.} before them. */
    static List<String> names() {
        return names("", YAML.valueToTree(FineTuneConfig.builder().build()));
    }

    private static void set(ObjectNode tree, String word) {
        int equals = word.indexOf('=');
        if (equals < 1) {
            throw new IllegalArgumentException(
                    "'" + word + "' is not a setting: write key=value, such as learning_rate=3e-5");
        }
        String name = word.substring(0, equals);
        int dot = name.indexOf('.');
        ObjectNode inner = dot > 0 && tree.get(name.substring(0, dot)) instanceof ObjectNode found ? found : null;
        ObjectNode parent = inner == null ? tree : inner;
        String key = inner == null ? name : name.substring(dot + 1);
        if (!parent.has(key)) {
            List<String> known = names("", parent);
            throw new IllegalArgumentException("unknown setting '" + name + "'"
                    + Suggestions.didYouMean(key, known).replaceFirst("^$", ".") + " Known here: "
                    + String.join(", ", known));
        }
        parent.set(key, YAML.readTree(word.substring(equals + 1)));
    }

    private static List<String> names(String prefix, ObjectNode tree) {
        List<String> names = new ArrayList<>();
        for (Map.Entry<String, JsonNode> entry : tree.properties()) {
            if (entry.getValue() instanceof ObjectNode inner) {
                names.addAll(names(prefix + entry.getKey() + ".", inner));
            } else {
                names.add(prefix + entry.getKey());
            }
        }
        return names;
    }

    private static String explain(JacksonException failure) {
        if (failure.getCause() instanceof IllegalArgumentException refused) {
            return String.valueOf(refused.getMessage());
        }
        StringBuilder path = new StringBuilder();
        failure.getPath().forEach(step -> path.append(path.isEmpty() ? "" : ".").append(step.getPropertyName()));
        if (failure instanceof MismatchedInputException mismatch && mismatch.getTargetType() != null) {
            return "setting '" + path + "' needs " + expected(mismatch.getTargetType());
        }
        return (path.isEmpty() ? "" : path + ": ") + failure.getOriginalMessage();
    }

    private static String expected(Class<?> type) {
        if (type.isEnum()) {
            return "one of "
                    + String.join(
                            ", ",
                            List.of(type.getEnumConstants()).stream()
                                    .map(value -> ((Enum<?>) value).name().toLowerCase(Locale.ROOT))
                                    .toList());
        }
        if (type == boolean.class) {
            return "true or false";
        }
        return type == int.class || type == long.class ? "a whole number" : "a number";
    }
}
