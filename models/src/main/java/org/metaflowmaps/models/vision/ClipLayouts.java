package org.metaflowmaps.models.vision;

import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The layouts of CLIP's files. This library's names are {@code image.} and {@code text.}, with blocks named as in vision
 * transformers ({@link TransformerBlocks}).
 */
final class ClipLayouts {
    private static final Pattern BLOCK = Pattern.compile("(image|text)\\.blocks\\.(\\d+)\\.(.*)\\.(weight|bias)");
    private static final Map<String, String> HUGGING_FACE_PARTS = Map.of(
            "norm1", "layer_norm1",
            "norm2", "layer_norm2",
            "attn.proj", "self_attn.out_proj",
            "mlp.fc1", "mlp.fc1",
            "mlp.fc2", "mlp.fc2");
    private static final Map<String, String> OPEN_CLIP_PARTS = Map.of(
            "norm1", "ln_1",
            "norm2", "ln_2",
            "attn.proj", "attn.out_proj",
            "mlp.fc1", "mlp.c_fc",
            "mlp.fc2", "mlp.c_proj");
    private static final Map<String, String> HUGGING_FACE_NAMES = Map.ofEntries(
            Map.entry("logit_scale", "logit_scale"),
            Map.entry("image.class_token", "vision_model.embeddings.class_embedding"),
            Map.entry("image.patches.weight", "vision_model.embeddings.patch_embedding.weight"),
            Map.entry("image.positions", "vision_model.embeddings.position_embedding.weight"),
            // Spelt so in the published files.
            Map.entry("image.norm_first.weight", "vision_model.pre_layrnorm.weight"),
            Map.entry("image.norm_first.bias", "vision_model.pre_layrnorm.bias"),
            Map.entry("image.norm_last.weight", "vision_model.post_layernorm.weight"),
            Map.entry("image.norm_last.bias", "vision_model.post_layernorm.bias"),
            Map.entry("image.projection", "visual_projection.weight"),
            Map.entry("text.tokens", "text_model.embeddings.token_embedding.weight"),
            Map.entry("text.positions", "text_model.embeddings.position_embedding.weight"),
            Map.entry("text.norm_last.weight", "text_model.final_layer_norm.weight"),
            Map.entry("text.norm_last.bias", "text_model.final_layer_norm.bias"),
            Map.entry("text.projection", "text_projection.weight"));
    private static final Map<String, String> OPEN_CLIP_NAMES = Map.ofEntries(
            Map.entry("logit_scale", "logit_scale"),
            Map.entry("image.class_token", "visual.class_embedding"),
            Map.entry("image.patches.weight", "visual.conv1.weight"),
            Map.entry("image.positions", "visual.positional_embedding"),
            Map.entry("image.norm_first.weight", "visual.ln_pre.weight"),
            Map.entry("image.norm_first.bias", "visual.ln_pre.bias"),
            Map.entry("image.norm_last.weight", "visual.ln_post.weight"),
            Map.entry("image.norm_last.bias", "visual.ln_post.bias"),
            Map.entry("image.projection", "visual.proj"),
            Map.entry("text.tokens", "token_embedding.weight"),
            Map.entry("text.positions", "positional_embedding"),
            Map.entry("text.norm_last.weight", "ln_final.weight"),
            Map.entry("text.norm_last.bias", "ln_final.bias"),
            Map.entry("text.projection", "text_projection"));

    static final Layout HUGGING_FACE = new Layout(
            "Hugging Face's CLIP",
            List.of(
                    "vision_model.embeddings.patch_embedding.weight",
                    "visual_projection.weight",
                    "text_model.embeddings.token_embedding.weight",
                    "text_projection.weight"),
            names -> ClipLayouts::huggingFace,
            name -> name.endsWith(".embeddings.position_ids"));

    static final Layout OPEN_CLIP = new Layout(
            "open_clip",
            List.of("visual.conv1.weight", "visual.proj", "token_embedding.weight", "text_projection"),
            names -> ClipLayouts::openClip,
            name -> List.of("attn_mask", "input_resolution", "context_length", "vocab_size")
                    .contains(name));

    static final List<Layout> ALL = List.of(HUGGING_FACE, OPEN_CLIP);

    private ClipLayouts() {}

    private static Source huggingFace(String name) {
        Matcher block = BLOCK.matcher(name);
        if (!block.matches()) {
            return Source.of(Objects.requireNonNull(HUGGING_FACE_NAMES.get(name), name));
        }
        String layer = (block.group(1).equals("image") ? "vision_model" : "text_model") + ".encoder.layers."
                + block.group(2) + ".";
        String end = "." + block.group(4);
        if (block.group(3).equals("attn.qkv")) {
            return Source.joined(
                    layer + "self_attn.q_proj" + end,
                    layer + "self_attn.k_proj" + end,
                    layer + "self_attn.v_proj" + end);
        }
        return Source.of(layer + HUGGING_FACE_PARTS.get(block.group(3)) + end);
    }

    private static Source openClip(String name) {
        Matcher block = BLOCK.matcher(name);
        if (!block.matches()) {
            String stored = Objects.requireNonNull(OPEN_CLIP_NAMES.get(name), name);
            return name.endsWith(".projection") ? Source.transposed(stored) : Source.of(stored);
        }
        String layer =
                (block.group(1).equals("image") ? "visual." : "") + "transformer.resblocks." + block.group(2) + ".";
        if (block.group(3).equals("attn.qkv")) {
            return Source.of(layer + "attn.in_proj_" + block.group(4));
        }
        return Source.of(layer + OPEN_CLIP_PARTS.get(block.group(3)) + "." + block.group(4));
    }
}
