package org.metaflowmaps.training.config;

import java.io.IOException;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.training.data.DataConfig;
import org.metaflowmaps.training.data.DataShape;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/** Settings of the model that are null in a configuration, because they are taken from the data. */
final class OpenSettings {
    private OpenSettings() {}

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
