package org.metaflowmaps.models.model;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/** Names, shapes and initial values of a transformer's parameters. */
final class TransformerLayout {
    private static final int SINUSOIDS = 256;
    private static final double TABLE_STD = 0.02;

    private TransformerLayout() {}

    static Map<String, Shape> shapes(TransformerConfig config) {
        Map<String, Shape> shapes = new LinkedHashMap<>();
        outside(config).forEach((name, shape) -> {
            if (!name.startsWith("final_layer.")) {
                shapes.put(name, shape);
            }
        });
        for (int i = 0; i < config.depth(); i++) {
            shapes.putAll(block("blocks." + i + ".", config));
        }
        head(shapes, config);
        return shapes;
    }

    private static void head(Map<String, Shape> shapes, TransformerConfig config) {
        int width = config.hiddenSize();
        linear(shapes, "final_layer.adaLN_modulation.1", width, 2L * width);
        linear(
                shapes,
                "final_layer.linear",
                width,
                (long) config.patchSize() * config.patchSize() * config.outChannels());
    }

    /** Returns the shapes of everything except the blocks. */
    static Map<String, Shape> outside(TransformerConfig config) {
        Map<String, Shape> shapes = new LinkedHashMap<>();
        int width = config.hiddenSize();
        patchEmbedder(shapes, "x_embedder", config);
        boolean contextual = config.layout() == Layout.META_FLOW_MAP;
        for (String time : contextual
                ? List.of("s_embedder", "t_embedder", "s_embedder_second", "t_embedder_second", "t_cond_embedder")
                : List.of("t_embedder")) {
            linear(shapes, time + ".mlp.0", SINUSOIDS, width);
            linear(shapes, time + ".mlp.2", width, width);
        }
        shapes.put("y_embedder.embedding_table.weight", Shape.of(config.labelDim() + 1L, width));
        if (contextual) {
            shapes.put("guidance_embedder.embedding_table.weight", Shape.of(config.guidanceRows(), width));
            patchEmbedder(shapes, "x_cond_embedder", config);
            linear(shapes, "x_cond_adaLN.1", width, 2L * width);
        }
        head(shapes, config);
        return shapes;
    }

    /** Returns the shapes of one block, with a prefix before each name. */
    static Map<String, Shape> block(String prefix, TransformerConfig config) {
        Map<String, Shape> shapes = new LinkedHashMap<>();
        int width = config.hiddenSize();
        boolean joint = config.jointAttention();
        String attention = prefix + (joint ? "joint_attn." : "attn.");
        linear(shapes, prefix + "adaLN_modulation.1", width, (joint ? 7L : 6L) * width);
        linear(shapes, attention + "qkv", width, 3L * width);
        if (joint) {
            patchEmbedder(shapes, prefix + "x_cond_embedder", config);
            linear(shapes, attention + "kv_cond", width, 2L * width);
        }
        if (config.qkNorm()) {
            for (String norm : joint ? List.of("q_norm", "k_norm", "k_cond_norm") : List.of("q_norm", "k_norm")) {
                shapes.put(attention + norm + ".scale", Shape.of(width / config.numHeads()));
            }
        }
        linear(shapes, attention + "proj", width, width);
        linear(shapes, prefix + "mlp.fc1", width, config.hiddenWidth());
        linear(shapes, prefix + "mlp.fc2", config.hiddenWidth(), width);
        return shapes;
    }

    private static void patchEmbedder(Map<String, Shape> shapes, String name, TransformerConfig config) {
        shapes.put(
                name + ".proj.weight",
                Shape.of(config.hiddenSize(), config.inChannels(), config.patchSize(), config.patchSize()));
        shapes.put(name + ".proj.bias", Shape.of(config.hiddenSize()));
    }

    private static void linear(Map<String, Shape> shapes, String name, long in, long out) {
        shapes.put(name + ".weight", Shape.of(out, in));
        shapes.put(name + ".bias", Shape.of(out));
    }

    /** Draws initial values. Parameters are zero before; those not drawn here stay zero on purpose. */
    static void initialise(ParameterArena arena, RandomSource random) {
        try (Autograd.Mode off = Autograd.noGrad()) {
            arena.parameters().forEach((name, parameter) -> {
                try (TensorScope scope = TensorScope.open()) {
                    initialise(name, parameter, random);
                }
            });
        }
    }

    private static void initialise(String name, Tensor parameter, RandomSource random) {
        Shape shape = parameter.shape();
        if (name.endsWith("_norm.scale")) {
            parameter.fill_(1);
        } else if (name.startsWith("y_embedder.")
                || name.contains("embedder.mlp.")
                || name.contains("embedder_second.mlp.")) {
            if (name.endsWith(".weight")) {
                parameter.copy_(random.normal(shape).mul(TABLE_STD));
            }
        } else if (name.endsWith(".weight") && !zero(name)) {
            long in = parameter.numel() / shape.size(0);
            double bound = Math.sqrt(6.0 / (in + shape.size(0)));
            parameter.copy_(random.uniform(shape).mul(2 * bound).sub(bound));
        }
    }

    private static boolean zero(String name) {
        return name.contains("adaLN") || name.startsWith("final_layer.") || name.startsWith("guidance_embedder.");
    }
}
