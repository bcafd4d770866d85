package org.metaflowmaps.models.vision;

import org.metaflowmaps.models.layer.Weights;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/** The encoder and decoder of an {@link AutoencoderKL}, and the sizes of their tensors. */
final class AutoencoderParts {
    private static final double EPS = 1e-6;
    private static final String ATTENTION = "mid_block.attentions.0";
    private static final String[] BLOCK = {
        ".norm1.weight",
        ".norm1.bias",
        ".conv1.weight",
        ".conv1.bias",
        ".norm2.weight",
        ".norm2.bias",
        ".conv2.weight",
        ".conv2.bias",
        ".conv_shortcut.weight",
        ".conv_shortcut.bias"
    };

    private AutoencoderParts() {}

    /** Adds the encoder's tensors; returns the number of channels of its output. */
    static long encoder(Fitting fitting, long groups) {
        long channels = fitting.conv("encoder.conv_in", Fitting.ANY, Fitting.ANY, 3);
        int levels = fitting.count("encoder.down_blocks.", level(".downsamplers.0.conv"));
        for (int level = 0; level < levels; level++) {
            String stage = "encoder.down_blocks." + level;
            channels = blocks(fitting, stage, channels, groups);
            if (level < levels - 1) {
                channels = fitting.conv(stage + ".downsamplers.0.conv", channels, channels, 3);
            }
        }
        middle(fitting, "encoder.", channels, groups);
        norm(fitting, "encoder.conv_norm_out", channels, groups);
        return fitting.conv("encoder.conv_out", Fitting.ANY, channels, 3);
    }

    /** Adds the decoder's tensors for that many latent channels. */
    static void decoder(Fitting fitting, long latents, long groups) {
        long channels = fitting.conv("decoder.conv_in", Fitting.ANY, latents, 3);
        middle(fitting, "decoder.", channels, groups);
        int levels = fitting.count("decoder.up_blocks.", level(".upsamplers.0.conv"));
        for (int level = 0; level < levels; level++) {
            String stage = "decoder.up_blocks." + level;
            channels = blocks(fitting, stage, channels, groups);
            if (level < levels - 1) {
                channels = fitting.conv(stage + ".upsamplers.0.conv", channels, channels, 3);
            }
        }
        norm(fitting, "decoder.conv_norm_out", channels, groups);
        fitting.conv("decoder.conv_out", Fitting.ANY, channels, 3);
    }

    /** The tensors that show that a level exists. */
    private static String[] level(String sampler) {
        String[] names = new String[2 * BLOCK.length + 2];
        for (int i = 0; i < BLOCK.length; i++) {
            names[i] = ".resnets.0" + BLOCK[i];
            names[BLOCK.length + i] = ".resnets.1" + BLOCK[i];
        }
        names[2 * BLOCK.length] = sampler + ".weight";
        names[2 * BLOCK.length + 1] = sampler + ".bias";
        return names;
    }

    private static long blocks(Fitting fitting, String stage, long in, long groups) {
        long channels = in;
        int count = Math.max(1, fitting.count(stage + ".resnets.", BLOCK));
        for (int i = 0; i < count; i++) {
            channels = residual(fitting, stage + ".resnets." + i, channels, Fitting.ANY, groups);
        }
        return channels;
    }

    private static void middle(Fitting fitting, String coder, long channels, long groups) {
        residual(fitting, coder + "mid_block.resnets.0", channels, channels, groups);
        norm(fitting, coder + ATTENTION + ".group_norm", channels, groups);
        for (String part : new String[] {"to_q", "to_k", "to_v", "to_out.0"}) {
            fitting.linear(coder + ATTENTION + "." + part, channels, channels);
        }
        residual(fitting, coder + "mid_block.resnets.1", channels, channels, groups);
    }

    private static long residual(Fitting fitting, String name, long in, long wanted, long groups) {
        norm(fitting, name + ".norm1", in, groups);
        long out = fitting.conv(name + ".conv1", wanted, in, 3);
        norm(fitting, name + ".norm2", out, groups);
        fitting.conv(name + ".conv2", out, out, 3);
        if (in != out) {
            fitting.conv(name + ".conv_shortcut", out, in, 1);
        }
        return out;
    }

    private static void norm(Fitting fitting, String name, long channels, long groups) {
        fitting.norm(name, channels);
        fitting.require(
                channels % groups == 0,
                name + " has " + channels + " channels, which " + groups + " groups do not divide: set the number of"
                        + " groups (norm_num_groups of the config)");
    }

    /** Images to moments, before the convolution that follows. */
    static Tensor encode(Weights weights, Tensor images, long groups) {
        Tensor x = ImageLayers.conv(weights, "conv_in", images);
        for (int level = 0; exists(weights, "down_blocks." + level); level++) {
            Weights stage = weights.in("down_blocks." + level);
            x = residuals(stage, x, groups);
            if (stage.find("downsamplers.0.conv.weight").isPresent()) {
                x = ImageLayers.block(x, wide -> halved(stage, wide));
            }
        }
        return activated(weights, "conv_norm_out", "conv_out", middle(weights, x, groups), groups);
    }

    /** Latents to images, after the convolution that precedes. */
    static Tensor decode(Weights weights, Tensor latents, long groups) {
        Tensor x = middle(weights, ImageLayers.conv(weights, "conv_in", latents), groups);
        for (int level = 0; exists(weights, "up_blocks." + level); level++) {
            Weights stage = weights.in("up_blocks." + level);
            x = residuals(stage, x, groups);
            if (stage.find("upsamplers.0.conv.weight").isPresent()) {
                x = ImageLayers.block(
                        x, small -> ImageLayers.conv(stage, "upsamplers.0.conv", ImageLayers.doubled(small)));
            }
        }
        return activated(weights, "conv_norm_out", "conv_out", x, groups);
    }

    private static boolean exists(Weights weights, String stage) {
        return weights.find(stage + ".resnets.0.conv1.weight").isPresent();
    }

    /** Pads right and bottom only: padding all edges would shift the image by half a pixel. */
    private static Tensor halved(Weights stage, Tensor input) {
        return Torch.conv2d(
                Torch.pad(input, new long[] {0, 1, 0, 1}, 0),
                stage.get("downsamplers.0.conv.weight"),
                stage.get("downsamplers.0.conv.bias"),
                new long[] {2, 2},
                new long[] {0, 0},
                1);
    }

    private static Tensor residuals(Weights stage, Tensor input, long groups) {
        Tensor x = input;
        for (int i = 0; stage.find("resnets." + i + ".conv1.weight").isPresent(); i++) {
            x = residual(stage.in("resnets." + i), x, groups);
        }
        return x;
    }

    private static Tensor residual(Weights weights, Tensor input, long groups) {
        return ImageLayers.block(input, x -> {
            Tensor h = activated(weights, "norm1", "conv1", x, groups);
            h = activated(weights, "norm2", "conv2", h, groups);
            boolean wider = weights.find("conv_shortcut.weight").isPresent();
            return (wider ? ImageLayers.conv(weights, "conv_shortcut", x) : x).add(h);
        });
    }

    /** A norm, SiLU and a convolution. */
    private static Tensor activated(Weights weights, String norm, String conv, Tensor input, long groups) {
        return ImageLayers.block(input, x -> ImageLayers.conv(weights, conv, normalised(weights, norm, x, groups)));
    }

    /** A norm and SiLU. */
    private static Tensor normalised(Weights weights, String norm, Tensor input, long groups) {
        return ImageLayers.block(input, x -> Torch.silu(ImageLayers.groupNorm(weights, norm, x, groups, EPS)));
    }

    private static Tensor middle(Weights weights, Tensor input, long groups) {
        Tensor x = residual(weights.in("mid_block.resnets.0"), input, groups);
        x = attention(weights, x, groups);
        return residual(weights.in("mid_block.resnets.1"), x, groups);
    }

    /** Attention with one head over all positions, with a residual connection. */
    static Tensor attention(Weights weights, Tensor input, long groups) {
        Weights own = weights.in(ATTENTION);
        return ImageLayers.block(input, x -> {
            long channels = x.size(1);
            Tensor tokens = ImageLayers.groupNorm(own, "group_norm", x, groups, EPS)
                    .reshape(x.size(0), 1, channels, x.size(2) * x.size(3))
                    .transpose(2, 3);
            Tensor mixed = Torch.scaledDotProductAttention(
                    ImageLayers.linear(own, "to_q", tokens),
                    ImageLayers.linear(own, "to_k", tokens),
                    ImageLayers.linear(own, "to_v", tokens));
            return x.add(
                    ImageLayers.linear(own, "to_out.0", mixed).transpose(2, 3).reshape(x.shape()));
        });
    }
}
