package org.metaflowmaps.models.vision;

import static com.google.common.base.Preconditions.checkArgument;
import static com.google.common.base.Preconditions.checkNotNull;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import org.metaflowmaps.models.checkpoint.StrictJson;
import tools.jackson.databind.JsonNode;

/**
 * The settings of a CLIP network that its tensors do not show.
 *
 * @param activation of the blocks of both towers
 * @param imageHeads attention heads of the image tower
 * @param textHeads attention heads of the text tower
 * @param endToken the id whose first place gives the text's features; {@link #LARGEST_ID} for the place of the largest id
 * @param eps of the layer normalisations
 */
public record ClipSettings(Activation activation, long imageHeads, long textHeads, long endToken, double eps) {
    /**
     * The rule of OpenAI's and open_clip's networks: the end-of-text token has the largest id. Hugging Face's
     * configurations with the historical {@code eos_token_id} 2 follow it too.
     */
    public static final long LARGEST_ID = 2;

    private static final double EPS = 1e-5;

    /** LAION's ViT-H/14, the network of HPS v2 and PickScore. */
    public static final ClipSettings VIT_H_14 = new ClipSettings(Activation.GELU, 16, 16, LARGEST_ID, EPS);

    /** OpenAI's ViT-L/14. */
    public static final ClipSettings OPENAI_VIT_L_14 = new ClipSettings(Activation.QUICK_GELU, 16, 12, LARGEST_ID, EPS);

    /** OpenAI's ViT-B/16 and ViT-B/32. */
    public static final ClipSettings OPENAI_VIT_B = new ClipSettings(Activation.QUICK_GELU, 12, 8, LARGEST_ID, EPS);

    /** Checks the ranges. */
    public ClipSettings {
        checkNotNull(activation, "clip settings: activation is null");
        checkArgument(
                imageHeads >= 1 && textHeads >= 1,
                "%s image heads and %s text heads: expected at least 1",
                imageHeads,
                textHeads);
        checkArgument(endToken >= 0, "end token %s: expected at least 0", endToken);
        checkArgument(Double.isFinite(eps) && eps > 0, "eps %s: expected a finite number above 0", eps);
    }

    /** Returns settings with another end token. */
    public ClipSettings withEndToken(long id) {
        return new ClipSettings(activation, imageHeads, textHeads, id, eps);
    }

    /**
     * Reads the {@code config.json} in a file's folder, if it describes a CLIP network.
     *
     * @param file of weights, or a folder of shards
     * @return empty if the file does not exist or describes another kind of network
     * @throws IOException if it cannot be read, or describes a CLIP network that is not supported
     */
    public static Optional<ClipSettings> beside(Path file) throws IOException {
        return ConfigFile.beside(file, text -> isOfClip(text) ? Optional.of(of(text)) : Optional.<ClipSettings>empty())
                .orElse(Optional.empty());
    }

    private static boolean isOfClip(String config) {
        JsonNode json = StrictJson.object(config);
        return json.has("vision_config")
                || json.has("vision_cfg")
                || json.path("model_cfg").has("vision_cfg")
                || isOfImages(json);
    }

    /** Returns true for Hugging Face's configuration of the image tower alone. */
    private static boolean isOfImages(JsonNode json) {
        return json.has("patch_size") && json.has("num_attention_heads") && json.has("projection_dim");
    }

    /**
     * Reads the {@code config.json} of Hugging Face's CLIP models or of their image tower alone, or an open_clip
     * configuration.
     *
     * @param config a JSON object with {@code vision_config} and {@code text_config}, or with {@code vision_cfg} and
     *     {@code text_cfg}, which may be within {@code model_cfg}; or with the image tower's settings
     * @throws IllegalArgumentException if it is not one, or describes another kind of network
     */
    public static ClipSettings of(String config) {
        JsonNode json = StrictJson.object(config);
        JsonNode open = json.path("model_cfg").isObject() ? json.path("model_cfg") : json;
        if (open.path("vision_cfg").isObject()) {
            return openClip(open);
        }
        if (isOfImages(json)) {
            return new ClipSettings(
                    Activation.named(json.path("hidden_act").asString("quick_gelu")),
                    json.path("num_attention_heads").asLong(),
                    1,
                    LARGEST_ID,
                    json.path("layer_norm_eps").asDouble(EPS));
        }
        checkArgument(
                json.path("vision_config").isObject()
                        && json.path("text_config").isObject(),
                "it has neither vision_config and text_config nor vision_cfg and text_cfg: expected a CLIP network's");
        JsonNode image = json.path("vision_config");
        JsonNode text = json.path("text_config");
        // Hugging Face's defaults, which old configurations leave out.
        Activation activation = Activation.named(image.path("hidden_act").asString("quick_gelu"));
        checkArgument(
                activation == Activation.named(text.path("hidden_act").asString("quick_gelu")),
                "hidden_act differs between vision_config and text_config");
        double eps = image.path("layer_norm_eps").asDouble(EPS);
        checkArgument(
                eps == text.path("layer_norm_eps").asDouble(EPS),
                "layer_norm_eps differs between vision_config and text_config");
        return new ClipSettings(
                activation,
                image.path("num_attention_heads").asLong(12),
                text.path("num_attention_heads").asLong(8),
                text.path("eos_token_id").asLong(49407),
                eps);
    }

    private static ClipSettings openClip(JsonNode json) {
        JsonNode image = json.path("vision_cfg");
        JsonNode text = json.path("text_cfg");
        checkArgument(
                image.path("width").isIntegralNumber() && text.path("heads").isIntegralNumber(),
                "vision_cfg has no width or text_cfg no heads: expected those of a CLIP vision transformer");
        long width = image.path("width").asLong();
        long head = image.path("head_width").asLong(64);
        checkArgument(head > 0 && width % head == 0, "width %s is not a multiple of head_width %s", width, head);
        return new ClipSettings(
                json.path("quick_gelu").asBoolean(false) ? Activation.QUICK_GELU : Activation.GELU,
                width / head,
                text.path("heads").asLong(),
                LARGEST_ID,
                EPS);
    }
}
