package org.metaflowmaps.models.checkpoint;

import java.io.IOException;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import org.metaflowmaps.models.model.Layout;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.file.TensorFile;

/**
 * The settings of a transformer that the shapes of its tensors show. They do not show the guidance scales of the
 * table's rows, nor the direction of time.
 *
 * @param family the network's family
 * @param inputSize height and width of an item
 * @param patchSize height and width of a patch
 * @param inChannels channels of an item
 * @param hiddenSize width of a token
 * @param depth number of blocks
 * @param numHeads attention heads, from the width of the norms or the usual number for the width; empty if neither
 *     determines it
 * @param labelDim number of classes: the rows of the label table without the row for "no label"
 * @param guidanceRows rows of the guidance table; 0 for a network without one
 * @param hiddenWidth width of a block's hidden layer
 * @param learnSigma true if the head has twice the channels
 * @param qkNorm true if queries and keys are normalised
 * @param jointAttention true if every block attends to the context's tokens
 */
public record InferredConfig(
        CheckpointLayout.Family family,
        int inputSize,
        int patchSize,
        int inChannels,
        int hiddenSize,
        int depth,
        OptionalInt numHeads,
        int labelDim,
        int guidanceRows,
        int hiddenWidth,
        boolean learnSigma,
        boolean qkNorm,
        boolean jointAttention) {
    private static final int MOST_ROWS = 1 << 16;
    private static final Map<Integer, Integer> USUAL_HEADS = Map.of(384, 6, 768, 12, 1024, 16, 1152, 16);
    private static final Map<Integer, Integer> USUAL_ENCODER_DEPTH = Map.of(12, 8, 28, 20);

    /**
     * Infers the settings from the shapes.
     *
     * @param layout of a transformer: any family but {@link CheckpointLayout.Family#OTHER}
     * @throws IOException if a required tensor is missing or has an impossible shape
     */
    public static InferredConfig of(TensorFile file, CheckpointLayout layout) throws IOException {
        Shapes shapes = new Shapes(file, layout, layout.names(file), layout.unreadable(file));
        Shape patches = shapes.get("x_embedder.proj.weight", 4);
        int width = size(patches.size(0));
        int channels = size(patches.size(1));
        int patch = size(patches.size(2));
        int depth = 0;
        while (shapes.has("blocks." + depth + ".mlp.fc1.weight")) {
            depth++;
        }
        boolean joint = shapes.has("blocks.0.joint_attn.qkv.weight");
        String norm = "blocks.0." + (joint ? "joint_attn" : "attn") + ".q_norm.scale";
        boolean normed = shapes.has(norm);
        int headWidth = normed ? size(shapes.get(norm, 1).size(0)) : 0;
        Integer usual = USUAL_HEADS.get(width);
        OptionalInt heads = headWidth > 0 && width % headWidth == 0
                ? OptionalInt.of(width / headWidth)
                : usual == null ? OptionalInt.empty() : OptionalInt.of(usual);
        int labels = size(shapes.get("y_embedder.embedding_table.weight", 2).size(0)) - 1;
        String guidance = "guidance_embedder.embedding_table.weight";
        int rows = shapes.has(guidance) ? size(shapes.get(guidance, 2).size(0)) : 0;
        if (rows > MOST_ROWS) {
            throw new IOException(
                    "a guidance table of " + rows + " rows makes no transformer, expected at most " + MOST_ROWS);
        }
        long tokens = shapes.get("pos_embed", 3).size(1);
        long outputs = shapes.get("final_layer.linear.weight", 2).size(0);
        long plain = (long) patch * patch * channels;
        int hidden = size(shapes.get("blocks.0.mlp.fc1.weight", 2).size(0));
        int grid = (int) Math.sqrt((double) tokens);
        if ((long) grid * grid != tokens
                || grid == 0
                || patch == 0
                || labels < 0
                || (outputs != plain && outputs != 2 * plain)
                || (long) grid * patch > Integer.MAX_VALUE) {
            throw new IOException("the shapes make no transformer: " + tokens + " positions, patches of " + patches
                    + ", " + outputs + " outputs per token, " + (labels + 1) + " rows of labels");
        }
        InferredConfig config = new InferredConfig(
                layout.family(),
                grid * patch,
                patch,
                channels,
                width,
                depth,
                heads,
                labels,
                rows,
                hidden,
                outputs != plain,
                normed,
                joint);
        try {
            config.shapes();
        } catch (IllegalArgumentException | ArithmeticException e) {
            throw new IOException("the shapes make no transformer: " + e.getMessage(), e);
        }
        return config;
    }

    /** The shapes of a network's tensors in a file. */
    private record Shapes(
            TensorFile file, CheckpointLayout layout, Map<String, String> names, Map<String, String> unreadable) {
        boolean has(String name) {
            return names.containsKey(name) || unreadable.containsKey(name);
        }

        Shape get(String name, int dimensions) throws IOException {
            String inFile = names.get(name);
            TensorFile.Entry entry = inFile == null ? null : file.entries().get(inFile);
            String why = unreadable.get(name);
            if (why != null) {
                throw new IOException(why);
            }
            if (entry == null) {
                throw new IOException(layout.prefix() + name + " is missing, so the network's shape is not known");
            }
            if (entry.shape().dim() != dimensions) {
                throw new IOException(
                        entry.name() + " has shape " + entry.shape() + ", expected " + dimensions + " dimensions");
            }
            return entry.shape();
        }
    }

    private static int size(long size) throws IOException {
        if (size > Integer.MAX_VALUE) {
            throw new IOException("a size of " + size + " makes no transformer");
        }
        return (int) size;
    }

    /** Returns the number of heads from the width of the norms; empty for a network without norms. */
    OptionalInt headsOfNorms() {
        return qkNorm ? numHeads : OptionalInt.empty();
    }

    /** Returns the direction of time if the family shows it. */
    Optional<Boolean> zeroData() {
        return new CheckpointLayout(family, "").zeroData();
    }

    /** Returns the usual number of blocks in the first stage for this depth; empty for other depths. */
    public OptionalInt encoderDepth() {
        Integer usual = USUAL_ENCODER_DEPTH.get(depth);
        return usual == null ? OptionalInt.empty() : OptionalInt.of(usual);
    }

    /**
     * Returns the network's settings. Takes settings that shapes do not show from another network: heads if the width
     * is equal or unusual, stages if the depth is, guidance scales, and {@code preserve_t_cond_0}.
     *
     * @param like the other network's settings
     * @param zeroData true for data at time 0
     * @throws IllegalArgumentException if they do not fit, or if the scales of the guidance table's rows are unknown
     */
    TransformerConfig config(TransformerConfig like, boolean zeroData) {
        boolean fixed = qkNorm || hiddenSize != like.hiddenSize();
        int heads = fixed ? numHeads.orElse(like.numHeads()) : like.numHeads();
        int stage = depth == like.depth() ? like.encoderDepth() : encoderDepth().orElse(like.encoderDepth());
        boolean context = family == CheckpointLayout.Family.MFM;
        boolean known = context && guidanceRows == like.guidanceRows();
        if (context && !known && guidanceRows > 1) {
            throw new IllegalArgumentException("the guidance table has " + guidanceRows + " rows, the model's settings "
                    + "name scales for " + like.guidanceRows()
                    + ": the file does not name the scales of its rows, so give "
                    + "the model the same ones");
        }
        return shown().numHeads(heads)
                .encoderDepth(stage)
                .classScales(known ? like.classScales() : List.of())
                .contextScales(known ? like.contextScales() : List.of())
                .zeroData(zeroData)
                .preserveContextAtZero(context && like.preserveContextAtZero())
                .build();
    }

    /** Returns the known settings, with default values for the rest: see {@link NetworkSettings}. */
    TransformerConfig partly() {
        return shown().numHeads(numHeads.orElse(1))
                .encoderDepth(encoderDepth().orElse(depth))
                .zeroData(zeroData().orElse(false))
                .build();
    }

    /** Returns the settings that the file shows. */
    private TransformerConfig.Builder shown() {
        return TransformerConfig.builder()
                .inputSize(inputSize)
                .patchSize(patchSize)
                .inChannels(inChannels)
                .hiddenSize(hiddenSize)
                .depth(depth)
                .labelDim(labelDim)
                .mlpRatio(ratio())
                .learnSigma(learnSigma)
                .qkNorm(qkNorm)
                .jointAttention(jointAttention)
                .layout(family == CheckpointLayout.Family.MFM ? Layout.META_FLOW_MAP : Layout.FLOW_MAP);
    }

    /** Returns the ratio for half a unit more than the width, so that rounding down the product gives the width. */
    private double ratio() {
        return (hiddenWidth + 0.5) / hiddenSize;
    }

    /** Returns the shapes of a complete network of this kind, by name. */
    public Map<String, Shape> shapes() {
        // Use any scales and stages: they affect no name and no shape except the table's rows.
        TransformerConfig any = shown().numHeads(numHeads.orElse(1))
                .encoderDepth(0)
                .classScales(Collections.nCopies(Math.max(0, guidanceRows - 1), 1.0))
                .layout(Layout.META_FLOW_MAP)
                .build();
        TransformerConfig whole = family == CheckpointLayout.Family.MFM ? any : any.withoutContext();
        return whole.shapes();
    }

    @Override
    public String toString() {
        return hiddenSize + " wide, " + depth + " blocks, "
                + (numHeads.isPresent() ? numHeads.getAsInt() + " heads" : "heads unknown")
                + ", items " + inChannels + "x" + inputSize + "x" + inputSize + " in patches of " + patchSize + ", "
                + labelDim + " classes"
                + (guidanceRows > 0 ? ", " + guidanceRows + " guidance rows" : "")
                + (learnSigma ? ", learned variance" : "")
                + (qkNorm ? ", normalised queries and keys" : "") + (jointAttention ? ", joint attention" : "");
    }
}
