package org.metaflowmaps.models.checkpoint;

import com.google.common.base.Preconditions;
import java.util.List;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.core.json.JsonFactory;
import tools.jackson.databind.DatabindException;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.MapperFeature;
import tools.jackson.databind.cfg.EnumFeature;
import tools.jackson.databind.json.JsonMapper;

/** Reads settings from a file's JSON texts, which are untrusted. */
public final class StrictJson {
    /** Settings need a few hundred characters; long lists of guidance scales a few thousand. */
    private static final int MOST_CHARACTERS = 1_000_000;

    private static final int SHOWN = 200;

    private static final JsonMapper JSON = JsonMapper.builder(JsonFactory.builder()
                    .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
                    .build())
            .enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .disable(DeserializationFeature.ACCEPT_FLOAT_AS_INT)
            .enable(EnumFeature.FAIL_ON_NUMBERS_FOR_ENUMS)
            .disable(MapperFeature.ALLOW_COERCION_OF_SCALARS)
            .build();

    private StrictJson() {}

    /**
     * Reads one record; throws for unknown or repeated keys, texts instead of numbers, and fractions instead of whole
     * numbers.
     *
     * @param text JSON of at most a million characters
     * @throws IllegalArgumentException in one line, if the text is not a valid record
     */
    public static <T> T read(String text, Class<T> type) {
        try {
            @Nullable T value = JSON.readValue(bounded(text), type);
            Preconditions.checkArgument(value != null, "it is null");
            return value;
        } catch (JacksonException e) {
            throw new IllegalArgumentException(explanation(e), e);
        }
    }

    /**
     * Reads one JSON object.
     *
     * @param text JSON of at most a million characters
     * @throws IllegalArgumentException in one line, if the text is not one JSON object with every key once
     */
    public static JsonNode object(String text) {
        try {
            JsonNode tree = JSON.readTree(bounded(text));
            Preconditions.checkArgument(tree.isObject(), "it is not a JSON object");
            return tree;
        } catch (JacksonException e) {
            throw new IllegalArgumentException(explanation(e), e);
        }
    }

    /**
     * Reads a list of texts.
     *
     * @param text JSON of at most a million characters
     * @throws IllegalArgumentException in one line, if the text is not a list of texts
     */
    static List<String> texts(String text) {
        try {
            JsonNode list = JSON.readTree(bounded(text));
            Preconditions.checkArgument(
                    list.isArray() && list.valueStream().allMatch(JsonNode::isString), "it is not a list of texts");
            return list.valueStream().map(JsonNode::stringValue).toList();
        } catch (JacksonException e) {
            throw new IllegalArgumentException(explanation(e), e);
        }
    }

    private static String bounded(String text) {
        Preconditions.checkArgument(
                text.length() <= MOST_CHARACTERS,
                "it has %s characters, expected at most %s",
                text.length(),
                MOST_CHARACTERS);
        return text;
    }

    private static String explanation(JacksonException failure) {
        if (failure.getCause() instanceof IllegalArgumentException refused) {
            return String.valueOf(refused.getMessage());
        }
        StringBuilder path = new StringBuilder();
        if (failure instanceof DatabindException databind) {
            for (JacksonException.Reference step : databind.getPath()) {
                path.append(path.isEmpty() ? "" : ".")
                        .append(step.getPropertyName() == null ? "[" + step.getIndex() + "]" : step.getPropertyName());
            }
        }
        String message = String.valueOf(failure.getOriginalMessage())
                .replaceAll("\\s*\\R\\s*", " ")
                .replaceAll("\\s*\\((start marker )?at \\[Source.*", "");
        return (path.isEmpty() ? "" : "'" + path + "': ")
                + (message.length() <= SHOWN ? message : message.substring(0, SHOWN) + "...");
    }
}
