package org.metaflowmaps.training.config;

import java.io.IOException;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * Settings of earlier versions: renamed ones keep their value, removed ones are accepted at the value without effect.
 */
final class OlderSettings {
    private static final String SCALES = "model_guidance_x_cond_ws";
    private static final String OLDER_SCALES = "model_guidance_x_ws";

    private OlderSettings() {}

    /**
     * Replaces older settings in a configuration by current ones.
     *
     * @throws IOException if one is no longer supported, or contradicts its replacement
     */
    static void renew(String source, ObjectNode given) throws IOException {
        if (given.get("data") instanceof ObjectNode data) {
            requireAlone(source + ": ", "rank", data.remove("rank"));
            requireAlone(source + ": ", "ranks", data.remove("ranks"));
        }
        if (given.path("model").get("transformer") instanceof ObjectNode transformer && transformer.has(OLDER_SCALES)) {
            JsonNode older = transformer.remove(OLDER_SCALES);
            JsonNode newer = transformer.get(SCALES);
            if (newer != null && !newer.equals(older)) {
                throw new IOException(source + ": model.transformer." + SCALES + " is " + newer + ", but "
                        + OLDER_SCALES + ", its older name, is " + older + ": give one of them");
            }
            transformer.set(SCALES, older);
        }
    }

    /**
     * Replaces an older setting by the current one.
     *
     * @param override {@code key=value}
     * @return the same for the current key; empty if it has no effect
     * @throws IOException if it is no longer supported
     */
    static String renew(String override) throws IOException {
        String key = override.substring(0, Math.max(0, override.indexOf('=')));
        if (key.equals("data.rank") || key.equals("data.ranks")) {
            String value = override.substring(key.length() + 1).strip();
            requireAlone("", key.substring("data.".length()), value);
            return "";
        }
        String older = "model.transformer." + OLDER_SCALES;
        return key.equals(older) ? "model.transformer." + SCALES + override.substring(older.length()) : override;
    }

    /** Accepts only rank 0 of 1, a run of one process. */
    private static void requireAlone(String where, String key, @Nullable Object value) throws IOException {
        String only = key.equals("rank") ? "0" : "1";
        if (value != null && !value.toString().equals(only)) {
            throw new IOException(
                    where + "data." + key + " is " + value + ", but one process trains alone: several with shared"
                            + " batches did not exchange gradients, so this setting"
                            + " was removed. Leave data.rank and data.ranks out");
        }
    }
}
