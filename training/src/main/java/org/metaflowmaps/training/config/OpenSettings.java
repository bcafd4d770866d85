package org.metaflowmaps.training.config;

import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.vision.AutoencoderSettings;
import org.metaflowmaps.training.data.DataConfig;
import org.metaflowmaps.training.data.DataSettings;
import org.metaflowmaps.training.data.DataShape;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/** Settings that are null in a configuration, because they are taken from the data. */
final class OpenSettings {
    private static final Map<String, Number> DEFAULTS =
            Map.of("channels", 1, "classes", 10, "scale", AutoencoderSettings.STABLE_DIFFUSION.scale());

    private OpenSettings() {}

    /**
     * Fills in {@code channels}, {@code classes} and {@code scale} of the data if they are null: from files of latents, else
     * by defaults. They stay null if the files cannot be read, which opening the data reports.
     */
    static void fillData(ObjectNode tree, Function<JsonNode, @Nullable DataConfig> reader) {
        if (!(tree.get("data") instanceof ObjectNode data)
                || DEFAULTS.keySet().stream().noneMatch(key -> data.path(key).isNull())) {
            return;
        }
        boolean latents = data.path("kind").asString("").equals("latents");
        boolean encoded = data.path("vae").isString();
        DataSettings stated = latents ? DataSettings.of(reader.apply(data)) : null;
        if (latents && stated == null) {
            return;
        }
        DEFAULTS.forEach((key, otherwise) -> {
            // An autoencoder's file states the scale, and its images have three colours.
            if (data.path(key).isNull() && !(encoded && key.equals("scale"))) {
                Number value = stated == null
                        ? encoded && key.equals("channels") ? Integer.valueOf(3) : otherwise
                        : switch (key) {
                            case "channels" -> stated.channels();
                            case "classes" -> stated.classes();
                            default -> stated.scale();
                        };
                if (value instanceof Double fraction) {
                    data.put(key, fraction);
                } else if (value instanceof Integer whole) {
                    data.put(key, whole);
                }
            }
        });
    }

    /**
     * Fills in {@code input_size}, {@code in_channels} and {@code label_dim} of a transformer, and {@code dimension}
     * and {@code label_dim} of an MLP, if they are null.
     *
     * @throws IOException if a setting is null and the data cannot be read, or is not square
     */
    static void fill(ObjectNode model, DataConfig data) throws IOException {
        @Nullable DataShape shape = null;
        for (String kind : List.of("transformer", "mlp")) {
            JsonNode network = model.get(kind);
            for (String key : List.of("input_size", "in_channels", "dimension", "label_dim")) {
                if (network instanceof ObjectNode settings
                        && settings.has(key)
                        && settings.path(key).isNull()) {
                    shape = shape == null ? DataShape.of(data) : shape;
                    settings.put(
                            key,
                            switch (key) {
                                case "input_size" -> shape.size();
                                case "label_dim" -> shape.classes();
                                default -> shape.channels();
                            });
                }
            }
        }
    }
}
