package org.metaflowmaps.models.vision;

import static com.google.common.base.Preconditions.checkArgument;

import java.util.List;
import org.metaflowmaps.models.checkpoint.StrictJson;
import tools.jackson.databind.JsonNode;

/**
 * The settings of an {@link AutoencoderKL} that its tensors do not show.
 *
 * @param groups groups of channels that are normalised together; 32 in published networks
 * @param scale factor between the autoencoder's latents and those of the flow map: latent = (z - shift) · scale
 * @param shift subtracted before scaling; 0 for Stable Diffusion's autoencoders
 * @param quantConvolutions true if there are convolutions between the encoder, the latents and the decoder
 */
public record AutoencoderSettings(long groups, double scale, double shift, boolean quantConvolutions) {
    /** The autoencoders of Stable Diffusion 1 and 2, among them {@code sd-vae-ft-mse} and {@code sd-vae-ft-ema}. */
    public static final AutoencoderSettings STABLE_DIFFUSION = new AutoencoderSettings(32, 0.18215, 0, true);

    private static final List<String> BLOCKS = List.of("DownEncoderBlock2D", "UpDecoderBlock2D");

    /** Checks the ranges. */
    public AutoencoderSettings {
        checkArgument(groups >= 1, "groups %s: expected at least 1", groups);
        checkArgument(Double.isFinite(scale) && scale > 0, "scale %s: expected a finite number above 0", scale);
        checkArgument(Double.isFinite(shift), "shift %s: expected a finite number", shift);
    }

    /**
     * Reads the {@code config.json} of diffusers; what it lacks has diffusers' default.
     *
     * @param config a JSON object
     * @throws IllegalArgumentException if it is not one, or describes another kind of network
     */
    public static AutoencoderSettings of(String config) {
        JsonNode json = StrictJson.object(config);
        String kind = json.path("_class_name").asString("AutoencoderKL");
        checkArgument(kind.equals("AutoencoderKL"), "it describes a %s, expected an AutoencoderKL", kind);
        String activation = json.path("act_fn").asString("silu");
        checkArgument(activation.equals("silu"), "act_fn is %s, expected silu", activation);
        checkArgument(
                json.path("mid_block_add_attention").asBoolean(true),
                "mid_block_add_attention is false: autoencoders without attention are not supported");
        for (String blocks : List.of("down_block_types", "up_block_types")) {
            for (JsonNode block : json.path(blocks)) {
                checkArgument(
                        BLOCKS.contains(block.asString("")), "%s contains %s, expected %s", blocks, block, BLOCKS);
            }
        }
        checkArgument(
                json.path("latents_mean").isNull() || json.path("latents_mean").isMissingNode(),
                "latents_mean is set: a mean per channel is not supported");
        boolean after = json.path("use_quant_conv").asBoolean(true);
        checkArgument(
                after == json.path("use_post_quant_conv").asBoolean(true),
                "use_quant_conv and use_post_quant_conv differ: expected both or neither");
        return new AutoencoderSettings(
                json.path("norm_num_groups").asLong(STABLE_DIFFUSION.groups),
                json.path("scaling_factor").asDouble(STABLE_DIFFUSION.scale),
                json.path("shift_factor").asDouble(0),
                after);
    }
}
