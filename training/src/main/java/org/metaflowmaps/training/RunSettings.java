package org.metaflowmaps.training;

import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.StrictJson;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.training.config.TrainConfig;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * The settings of a run that must not change when it continues, as text for its checkpoints.
 *
 * <p>These may change: the number of steps, how often the run logs and saves, step sizes (learning rate, warm-up,
 * decay, clipping, skipping), slices and recompute, which change only rounding, graphs, reading threads, handling of damaged items, and paths of files. The network is compared
 * separately. A setting that the writing version did not know is not compared.
 */
final class RunSettings {
    private static final JsonMapper JSON = JsonMapper.builder().build();
    private static final int SHOWN = 100;
    private static final List<String> FREE = List.of(
            "steps",
            "slices",
            "graphs",
            "recompute",
            "log_every",
            "checkpoint_every",
            "checkpoint_keep",
            "checkpoint_keep_every",
            "evaluate_every",
            "model");
    private static final List<String> FREE_OF_OPTIMIZER =
            List.of("learning_rate", "warm_up", "decay", "clip", "skip_above", "max_skipped");

    private static final List<String> WITHOUT_HOLD_OUT = List.of("images", "latents");
    private static final List<String> FREE_OF_DATA = List.of("workers", "on_error", "skip_at_most");

    private RunSettings() {}

    static String of(TrainConfig config) {
        ObjectNode tree = JSON.valueToTree(config);
        tree.remove(FREE);
        if (tree.get("optimizer") instanceof ObjectNode optimizer) {
            optimizer.remove(FREE_OF_OPTIMIZER);
        }
        if (tree.get("data") instanceof ObjectNode data) {
            data.remove(FREE_OF_DATA);
        }
        hidePath(tree, "init");
        hidePath(tree.get("data"), "folder");
        hidePath(tree.get("data"), "vae");
        hidePath(tree.get("teacher"), "file");
        return JSON.writeValueAsString(tree);
    }

    /** Replaces a path, because files may be moved between sessions; whether a file is given at all is compared. */
    private static void hidePath(@Nullable JsonNode settings, String key) {
        if (settings instanceof ObjectNode object && object.path(key).isString()) {
            object.put(key, "given");
        }
    }

    /** Returns other settings as text, without exceptions. */
    static String text(Map<String, ?> settings) {
        return JSON.writeValueAsString(settings);
    }

    /** Returns the first difference of other settings from saved ones; null if they are equal. */
    static @Nullable String difference(String saved, String present) {
        return difference("", StrictJson.object(saved), JSON.readTree(present));
    }

    /**
     * Returns the first difference of a configuration from saved settings, such as {@code seed is 6, was 5}; null if
     * there is none.
     *
     * @throws IllegalArgumentException if the saved text is not one JSON object
     */
    static @Nullable String difference(String saved, TrainConfig config) {
        // Compare parsed JSON with parsed JSON; otherwise int 1 and long 1 would differ.
        JsonNode before = StrictJson.object(saved);
        // Versions without data.flip ignored data.hold_out for images and latents.
        if (before.get("data") instanceof ObjectNode data
                && !data.has("flip")
                && WITHOUT_HOLD_OUT.contains(data.path("kind").asString(""))) {
            data.put("hold_out", 0);
        }
        nameClock(before, config);
        withoutOpenSettings(before, config);
        if (before.get("data") instanceof ObjectNode data
                && data.path("rank").asInt(0) == 0
                && data.path("ranks").asInt(1) == 1) {
            // Older versions had these settings; for one process they change nothing.
            data.remove(List.of("rank", "ranks"));
        }
        if (before.get("optimizer") instanceof ObjectNode optimizer
                && optimizer.path("kind").asString("").equals("radam")) {
            // RAdam ignored it in older versions, and it is refused now.
            optimizer.remove("weight_decay");
        }
        return difference("", before, JSON.readTree(of(config)));
    }

    /** Older versions had defaults for settings that are now null, if the data's files state them. */
    private static void withoutOpenSettings(JsonNode saved, TrainConfig config) {
        if (saved.get("data") instanceof ObjectNode data) {
            ObjectNode now = JSON.valueToTree(config.data());
            data.remove(Stream.of("channels", "classes", "scale")
                    .filter(key -> now.path(key).isNull())
                    .toList());
        }
    }

    /** Sets an unset teacher.is_zero_data to the student's value, which older versions used. */
    private static void nameClock(JsonNode saved, TrainConfig config) {
        TransformerConfig learns = config.model().transformer();
        Boolean given = config.teacher().zeroData();
        if (saved.get("teacher") instanceof ObjectNode teacher
                && teacher.path("is_zero_data").isNull()
                && learns != null
                && given != null
                && learns.zeroData() == given) {
            teacher.put("is_zero_data", given);
        }
    }

    private static @Nullable String difference(String path, JsonNode saved, JsonNode present) {
        if (!(saved instanceof ObjectNode before) || !(present instanceof ObjectNode now)) {
            return saved.equals(present) ? null : path + " is " + shown(present) + ", was " + shown(saved);
        }
        for (Map.Entry<String, JsonNode> entry : before.properties()) {
            String name = path.isEmpty() ? entry.getKey() : path + "." + entry.getKey();
            JsonNode value = now.get(entry.getKey());
            String found = value == null
                    ? name + " is not known, was " + shown(entry.getValue())
                    : difference(name, entry.getValue(), value);
            if (found != null) {
                return found;
            }
        }
        return null;
    }

    private static String shown(JsonNode value) {
        String text = value.toString();
        return text.length() <= SHOWN ? text : text.substring(0, SHOWN) + "...";
    }
}
