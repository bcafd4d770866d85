package org.metaflowmaps.models.model;

import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * Initialises a map from a trained one: at step 0 it computes exactly the source's results, for any context (method
 * §10.2). New inputs are multiplied by zero weights, which training changes.
 */
public final class Initialisation {
    private Initialisation() {}

    /**
     * Fills {@code target} from a source of the same layout, or a meta flow map from a flow or a flow map.
     *
     * @param source unchanged; its blocks must have the target's number, shape and options. If its head also predicts a
     *     variance, only the mean is copied
     * @param target all its parameters are overwritten
     * @throws IllegalArgumentException if the networks do not fit
     */
    public static void from(MetaFlowMap source, MetaFlowMap target) {
        Objects.requireNonNull(source, "source is null");
        Objects.requireNonNull(target, "target is null");
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            switch (target) {
                case FlowMapTransformer to when source instanceof FlowMapTransformer from -> transformer(from, to);
                case MlpFlowMap to when source instanceof MlpFlowMap from -> mlp(from, to);
                default ->
                    throw new IllegalArgumentException("initialisation: the source is a "
                            + source.getClass().getSimpleName() + ", the target a "
                            + target.getClass().getSimpleName() + ": expected two networks of the same kind");
            }
        }
    }

    private static void mlp(MlpFlowMap from, MlpFlowMap to) {
        requireLayouts(from, to);
        requireRoom(from, to);
        Map<String, Tensor> source = from.parameters().parameters();
        to.parameters().parameters().forEach((name, parameter) -> {
            if (source.containsKey(name)) {
                copy(source, name, name, parameter);
            } else {
                parameter.zero_();
            }
        });
    }

    private static void transformer(FlowMapTransformer from, FlowMapTransformer to) {
        requireLayouts(from, to);
        TransformerConfig config = to.config();
        requireAlike("num_heads", from.config().numHeads(), config.numHeads());
        requireAlike("encoder_depth", from.config().encoderDepth(), config.encoderDepth());
        if (from.isContextual()) {
            requireAlike("model_guidance_class_ws", from.config().classScales(), config.classScales());
            requireAlike("model_guidance_x_cond_ws", from.config().contextScales(), config.contextScales());
            requireAlike("preserve_t_cond_0", from.config().preserveContextAtZero(), config.preserveContextAtZero());
        }
        if (config.zeroData() != from.config().zeroData()) {
            throw new IllegalArgumentException("initialisation: is_zero_data is "
                    + from.config().zeroData() + " for the source and " + config.zeroData()
                    + " for the target: set the target's value to the source's, because the weights depend on it");
        }
        Map<String, Tensor> source = from.parameters().parameters();
        boolean added = to.isContextual() && !from.isContextual();
        if (added && config.jointAttention()) {
            throw new IllegalArgumentException(
                    "initialisation: attention to the context's tokens cannot start without effect, because they "
                            + "are part of every softmax: set use_joint_attention to false");
        }
        requireRoom(from, to);
        to.parameters().parameters().forEach((name, parameter) -> {
            if (name.startsWith("final_layer.linear.") && from.config().learnSigma() && !config.learnSigma()) {
                parameter.copy_(mean(source(source, name), config));
            } else if (!added) {
                copy(source, name, name, parameter);
            } else {
                added(source, name, parameter, config);
            }
        });
    }

    /** Initialises one parameter of a meta flow map from those of a network without context. */
    private static void added(Map<String, Tensor> source, String name, Tensor parameter, TransformerConfig config) {
        if (name.startsWith("guidance_embedder.") || name.startsWith("x_cond_adaLN.")) {
            parameter.zero_();
            if (name.equals("x_cond_adaLN.1.bias") && !config.preserveContextAtZero()) {
                // The context's tokens are multiplied by 1 + scale.
                parameter.narrow(0, config.hiddenSize(), config.hiddenSize()).fill_(-1);
            }
        } else if (name.startsWith("x_cond_embedder.")) {
            // Not zero, because the zero gate after it would then have no gradient.
            copy(source, name, "x_embedder" + name.substring("x_cond_embedder".length()), parameter);
        } else if (name.contains("embedder") && name.contains(".mlp.")) {
            String layer = name.substring(name.indexOf(".mlp."));
            boolean closed = List.of("t_cond_embedder", "t_embedder", "s_embedder_second")
                    .contains(name.substring(0, name.indexOf(".mlp.")));
            if (closed && layer.startsWith(".mlp.2.")) {
                parameter.zero_();
            } else {
                copy(source, name, "t_embedder" + layer, parameter);
            }
        } else {
            copy(source, name, name, parameter);
        }
    }

    /** Returns the rows of the means: the head's outputs of a patch are (pixel, channel), means before variances. */
    private static Tensor mean(Tensor head, TransformerConfig config) {
        long channels = config.inChannels();
        long pixels = (long) config.patchSize() * config.patchSize();
        long inner = head.numel() / (pixels * 2 * channels);
        return head.reshape(pixels, 2 * channels, inner)
                .narrow(1, 0, channels)
                .reshape(head.dim() == 1 ? new long[] {pixels * channels} : new long[] {pixels * channels, inner});
    }

    /** Checks settings that shapes do not show but that change the results of the same weights. */
    private static void requireAlike(String setting, Object source, Object target) {
        if (!source.equals(target)) {
            throw new IllegalArgumentException("initialisation: " + setting + " is " + source + " for the source and "
                    + target + " for the target: give the target the source's");
        }
    }

    private static void requireRoom(MetaFlowMap from, MetaFlowMap to) {
        for (String name : from.parameters().parameters().keySet()) {
            if (!to.parameters().parameters().containsKey(name)) {
                throw new IllegalArgumentException("initialisation: the target has no " + name
                        + ", which the source has: give the target the source's options");
            }
        }
    }

    private static void requireLayouts(MetaFlowMap from, MetaFlowMap to) {
        if (from.isContextual() && !to.isContextual()) {
            throw new IllegalArgumentException(
                    "initialisation: the source is a meta flow map, the target has no context: set layout to"
                            + " meta-flow-map");
        }
    }

    private static void copy(Map<String, Tensor> source, String target, String name, Tensor parameter) {
        Tensor values = source(source, name);
        if (!values.shape().equals(parameter.shape())) {
            throw new IllegalArgumentException("initialisation: " + name + " of the source is " + values + ", " + target
                    + " of the target is " + parameter
                    + ": give the target the source's shape");
        }
        parameter.copy_(values);
    }

    private static Tensor source(Map<String, Tensor> source, String name) {
        Tensor values = source.get(name);
        if (values == null) {
            throw new IllegalArgumentException(
                    "initialisation: the source has no " + name + ": give the target the source's options");
        }
        return values;
    }
}
