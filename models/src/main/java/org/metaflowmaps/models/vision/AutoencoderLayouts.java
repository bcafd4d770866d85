package org.metaflowmaps.models.vision;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The layouts of an autoencoder's files; this library's names are those of current diffusers. */
final class AutoencoderLayouts {
    private static final Pattern ATTENTION = Pattern.compile(
            "((?:en|de)coder)\\.mid_block\\.attentions\\.0\\.(group_norm|to_q|to_k|to_v|to_out\\.0)\\.(.*)");
    private static final Map<String, String> OLD = Map.of(
            "group_norm", "group_norm", "to_q", "query", "to_k", "key", "to_v", "value", "to_out.0", "proj_attn");
    private static final Map<String, String> COMPVIS =
            Map.of("group_norm", "norm", "to_q", "q", "to_k", "k", "to_v", "v", "to_out.0", "proj_out");
    private static final Pattern BLOCK = Pattern.compile("(en|de)coder\\.(?:down|up)_blocks\\.(\\d+)\\.(.*)");
    private static final Pattern LEVEL = Pattern.compile("decoder\\.up\\.(\\d+)\\..*");

    static final List<Layout> ALL = List.of(
            new Layout(
                    "diffusers",
                    List.of(
                            "encoder.conv_in.weight",
                            "decoder.conv_in.weight",
                            "encoder.conv_norm_out.weight",
                            "decoder.conv_norm_out.weight",
                            "encoder.mid_block.attentions.0.to_q.weight",
                            "decoder.mid_block.attentions.0.to_q.weight"),
                    names -> AutoencoderLayouts::current,
                    name -> false),
            new Layout(
                    "diffusers with old names of the attention",
                    List.of(
                            "encoder.conv_in.weight",
                            "decoder.conv_in.weight",
                            "encoder.conv_norm_out.weight",
                            "decoder.conv_norm_out.weight",
                            "encoder.mid_block.attentions.0.query.weight",
                            "decoder.mid_block.attentions.0.query.weight"),
                    names -> AutoencoderLayouts::old,
                    name -> false),
            new Layout(
                    "CompVis",
                    List.of(
                            "encoder.conv_in.weight",
                            "decoder.conv_in.weight",
                            "encoder.norm_out.weight",
                            "decoder.norm_out.weight",
                            "encoder.mid.attn_1.q.weight",
                            "decoder.mid.attn_1.q.weight"),
                    AutoencoderLayouts::compvis,
                    name -> name.startsWith("loss.") || name.startsWith("model_ema.")));

    private AutoencoderLayouts() {}

    private static Source current(String name) {
        return attention(name, name);
    }

    /** Attention's weights may be convolutions of one pixel in every layout. */
    private static Source attention(String name, String stored) {
        Matcher attention = ATTENTION.matcher(name);
        boolean matrix = attention.matches() && !attention.group(2).equals("group_norm") && name.endsWith(".weight");
        return matrix ? Source.matrix(stored) : Source.of(stored);
    }

    private static Source old(String name) {
        Matcher attention = ATTENTION.matcher(name);
        return attention.matches()
                ? attention(
                        name,
                        attention.group(1) + ".mid_block.attentions.0." + OLD.get(attention.group(2)) + "."
                                + attention.group(3))
                : Source.of(name);
    }

    private static Function<String, Source> compvis(Set<String> names) {
        int last = names.stream()
                .map(LEVEL::matcher)
                .filter(Matcher::matches)
                .mapToInt(level -> Integer.parseInt(level.group(1)))
                .max()
                .orElse(0);
        return name -> attention(name, compvis(name, last));
    }

    private static String compvis(String name, int last) {
        Matcher attention = ATTENTION.matcher(name);
        if (attention.matches()) {
            return attention.group(1) + ".mid.attn_1." + COMPVIS.get(attention.group(2)) + "." + attention.group(3);
        }
        Matcher block = BLOCK.matcher(name);
        if (block.matches()) {
            boolean encoder = block.group(1).equals("en");
            int level = Integer.parseInt(block.group(2));
            // CompVis counts the decoder's levels from the finest.
            return block.group(1) + "coder." + (encoder ? "down." + level : "up." + (last - level)) + "."
                    + block.group(3)
                            .replace("resnets.", "block.")
                            .replace("conv_shortcut", "nin_shortcut")
                            .replace("downsamplers.0", "downsample")
                            .replace("upsamplers.0", "upsample");
        }
        return name.replace(".mid_block.resnets.0.", ".mid.block_1.")
                .replace(".mid_block.resnets.1.", ".mid.block_2.")
                .replace(".conv_norm_out.", ".norm_out.");
    }
}
