package org.metaflowmaps.steering.reward;

import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.vision.ClipSettings;
import org.metaflowmaps.models.vision.text.ClipTokenizer;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.internal.Suggestions;

/**
 * The arguments of a reward by a network: a file, then settings such as {@code ,preprocessing=official}.
 *
 * @param settings how images are prepared
 * @param file of the weights
 * @param head the aesthetic predictor's own file, if it has one
 * @param type of the weights
 */
record NetworkArguments(NetworkReward.Options settings, Path file, Optional<Path> head, DType type) {
    static final int CLIP_CONTEXT = ClipTokenizer.CONTEXT;

    /** A comma before a setting; other commas are part of a file's name. */
    private static final Pattern SETTING = Pattern.compile(",([a-z_]+)=");

    private static final List<DType> TYPES = List.of(DType.FLOAT32, DType.BFLOAT16, DType.FLOAT64);

    /**
     * Reads arguments.
     *
     * @param hasHead true if there may be a second file
     */
    static NetworkArguments read(RewardArguments arguments, ImageScore score, boolean hasHead) {
        String whole = arguments.whole();
        Map<String, String> given = new LinkedHashMap<>();
        Matcher settings = SETTING.matcher(whole);
        String key = "";
        int from = 0;
        while (settings.find()) {
            put(arguments, given, key, whole.substring(from, settings.start()));
            key = settings.group(1);
            from = settings.end();
        }
        put(arguments, given, key, whole.substring(from));
        Path file = path(arguments, "FILE", given.remove(""));
        String head = hasHead ? given.remove("head") : null;
        ImageScore.Preprocessing preprocessing = preprocessing(arguments, score, given.remove("preprocessing"));
        boolean antialiased = isTrue(arguments, given.remove("antialias"));
        DType type = type(arguments, given.remove("precision"));
        if (!given.isEmpty()) {
            String unknown = given.keySet().iterator().next();
            throw arguments.refusal(
                    "the setting " + unknown + " is not known"
                            + Suggestions.didYouMean(
                                    unknown, List.of("preprocessing", "antialias", "precision", "head")),
                    "those of the form");
        }
        try {
            return new NetworkArguments(
                    new NetworkReward.Options(score, preprocessing, antialiased),
                    file,
                    head == null ? Optional.empty() : Optional.of(path(arguments, "head", head)),
                    type);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException("reward '" + arguments.text() + "': " + e.getMessage(), e);
        }
    }

    private static void put(RewardArguments arguments, Map<String, String> given, String key, String value) {
        if (given.put(key, value.strip()) != null) {
            throw arguments.refusal("the setting " + key + " was given twice", "each once");
        }
    }

    private static Path path(RewardArguments arguments, String name, @Nullable String text) {
        if (text == null || text.isEmpty()) {
            throw arguments.refusal(name + " is empty", "the path of a file");
        }
        try {
            return Path.of(text);
        } catch (InvalidPathException e) {
            throw arguments.refusal(name + " is not a path (" + e.getReason() + ")", "the path of a file");
        }
    }

    private static ImageScore.Preprocessing preprocessing(
            RewardArguments arguments, ImageScore score, @Nullable String text) {
        return text == null
                ? score.usual()
                : score.preprocessings().stream()
                        .filter(value -> value.toString().equals(text))
                        .findFirst()
                        .orElseThrow(() -> arguments.refusal(
                                "preprocessing is '" + text + "'", "one of " + score.preprocessings()));
    }

    private static boolean isTrue(RewardArguments arguments, @Nullable String text) {
        if (text != null && !text.equals("true") && !text.equals("false")) {
            throw arguments.refusal("antialias is '" + text + "'", "true or false");
        }
        return !"false".equals(text);
    }

    private static DType type(RewardArguments arguments, @Nullable String text) {
        return text == null
                ? DType.FLOAT32
                : TYPES.stream()
                        .filter(type -> type.name().toLowerCase(Locale.ROOT).equals(text))
                        .findFirst()
                        .orElseThrow(() -> arguments.refusal(
                                "precision is '" + text + "'",
                                "one of "
                                        + Arrays.toString(TYPES.stream()
                                                .map(type -> type.name().toLowerCase(Locale.ROOT))
                                                .toArray())));
    }

    /** Returns the settings of the published network; empty if there are several. */
    Optional<ClipSettings> published() {
        return settings.score() == ImageScore.CLIP ? Optional.empty() : Optional.of(ClipSettings.VIT_H_14);
    }

    /** Returns the files' names, for messages. */
    String name() {
        return file.getFileName()
                + head.map(path -> " and " + path.getFileName()).orElse("");
    }
}
