package org.metaflowmaps.models.model;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Tiny networks with random weights, of every kind, and random inputs for them. */
public final class SmallNetworks {
    public static final int BATCH = 3;
    private static final double SPREAD = 0.2;

    private SmallNetworks() {}

    /** The options of a transformer that are on or off. */
    public enum Option {
        ZERO_DATA,
        LEARN_SIGMA,
        QK_NORM,
        PRESERVE,
        JOINT,
        CONTEXT_SCALES
    }

    /**
     * Items of 2×4×4 in patches of 2, width 8, 3 blocks of which 2 in the first stage, 2 heads, 3 classes, scale 2.5.
     */
    public static TransformerConfig config(Option... options) {
        List<Option> on = List.of(options);
        return TransformerConfig.builder()
                .inputSize(4)
                .patchSize(2)
                .inChannels(2)
                .hiddenSize(8)
                .depth(3)
                .numHeads(2)
                .labelDim(3)
                .encoderDepth(2)
                .classScales(List.of(2.5))
                .contextScales(on.contains(Option.CONTEXT_SCALES) ? List.of(1.0, 4.0) : List.of())
                .mlpRatio(2)
                .zeroData(on.contains(Option.ZERO_DATA))
                .learnSigma(on.contains(Option.LEARN_SIGMA))
                .qkNorm(on.contains(Option.QK_NORM))
                .preserveContextAtZero(on.contains(Option.PRESERVE))
                .jointAttention(on.contains(Option.JOINT))
                .build();
    }

    /** Returns every variant of every network by name, with random weights; the caller closes them. */
    public static Map<String, MetaFlowMap> all() {
        Map<String, MetaFlowMap> networks = new LinkedHashMap<>();
        networks.put("transformer", transformer(config()));
        for (Option option : Option.values()) {
            networks.put("transformer with " + option, transformer(config(option)));
        }
        networks.put(
                "transformer with everything",
                transformer(config(
                        Option.ZERO_DATA, Option.LEARN_SIGMA, Option.QK_NORM, Option.PRESERVE, Option.CONTEXT_SCALES)));
        networks.put(
                "transformer with joint attention and norms",
                transformer(config(Option.JOINT, Option.QK_NORM, Option.LEARN_SIGMA, Option.ZERO_DATA)));
        networks.put("transformer without a first stage", transformer(stages(0)));
        networks.put("transformer without a second stage", transformer(stages(2)));
        networks.put("transformer without classes", transformer(transformerConfig(4, 2, 2, 8, 2, 2, 0)));
        networks.put(
                "transformer of a flow map",
                transformer(config(Option.LEARN_SIGMA, Option.QK_NORM, Option.ZERO_DATA)
                        .withoutContext()));
        networks.put("mlp", mlp(mlpConfig(3, 12, 2, 0)));
        networks.put("mlp with classes", mlp(mlpConfig(2, 12, 2, 4)));
        networks.put("mlp of a flow map", mlp(mlpConfig(2, 12, 2, 4).withoutContext()));
        return networks;
    }

    private static TransformerConfig stages(int encoderDepth) {
        return TransformerConfig.builder()
                .inputSize(4)
                .patchSize(2)
                .inChannels(1)
                .hiddenSize(8)
                .depth(2)
                .numHeads(2)
                .labelDim(3)
                .encoderDepth(encoderDepth)
                .build();
    }

    /**
     * A class-conditional transformer without options; two thirds of its blocks, rounded down, are in the first stage.
     */
    public static TransformerConfig transformerConfig(
            int inputSize, int patchSize, int inChannels, int hiddenSize, int depth, int numHeads, int labelDim) {
        return TransformerConfig.builder()
                .inputSize(inputSize)
                .patchSize(patchSize)
                .inChannels(inChannels)
                .hiddenSize(hiddenSize)
                .depth(depth)
                .numHeads(numHeads)
                .labelDim(labelDim)
                .encoderDepth(depth * 2 / 3)
                .build();
    }

    /** Returns the configuration of a meta flow map's MLP. */
    public static MlpConfig mlpConfig(int dimension, int width, int depth, int labelDim) {
        return MlpConfig.builder()
                .dimension(dimension)
                .width(width)
                .depth(depth)
                .labelDim(labelDim)
                .build();
    }

    /** A transformer with random weights, owned by the caller. */
    public static FlowMapTransformer transformer(TransformerConfig config) {
        return randomised(FlowMapTransformer.zeros(config, Device.CPU));
    }

    /** A meta flow map's transformer with random weights, owned by the caller. */
    public static FlowMapTransformer transformer() {
        return transformer(config());
    }

    /** A small network with random weights, owned by the caller. */
    public static MlpFlowMap mlp(MlpConfig config) {
        return randomised(MlpFlowMap.zeros(config, Device.CPU));
    }

    private static <M extends MetaFlowMap> M randomised(M map) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(17);
                Autograd.Mode off = Autograd.noGrad()) {
            map.parameters().parameters().forEach((name, parameter) -> {
                parameter.copy_(random.normal(parameter.shape()).mul(SPREAD));
                if (name.endsWith("norm.scale")) {
                    parameter.add_(1);
                }
            });
        }
        return map;
    }

    /** Returns a random (B, item shape) for a map. */
    public static Tensor items(MetaFlowMap map, RandomSource random) {
        return random.normal(map.itemShape().prepend(BATCH));
    }

    /** A random context for a map, with one unlabelled item and a guidance scale on each side of the midpoint. */
    public static Context context(MetaFlowMap map, RandomSource random) {
        Condition labels = map.classes() == 0
                ? Condition.none()
                : Condition.labelled(Torch.of(new long[] {0, map.classes(), map.classes() - 1}));
        return new Context(
                random.uniform(BATCH), items(map, random), labels.guided(Torch.of(new float[] {1, 2.5f, 2})));
    }
}
