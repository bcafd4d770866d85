package org.metaflowmaps.models.layer;

import java.util.ArrayList;
import java.util.List;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/** The layers of a block without a context, with gradients by hand. */
final class BlockLayers {
    final LinearGradient modulation;
    final LinearGradient qkv;
    final LinearGradient projection;
    final LinearGradient first;
    final LinearGradient second;
    private final Attention attention;
    private final Weights gains;

    BlockLayers(Attention attention, Weights weights) {
        this.attention = attention;
        this.gains = weights.in("attn");
        this.modulation = new LinearGradient(weights.in("adaLN_modulation.1"));
        this.qkv = new LinearGradient(weights.in("attn.qkv"));
        this.projection = new LinearGradient(weights.in("attn.proj"));
        this.first = new LinearGradient(weights.in("mlp.fc1"));
        this.second = new LinearGradient(weights.in("mlp.fc2"));
    }

    /** Returns the type of the modulation's product, which autocast does not change. */
    DType modulationType(Tensor condition) {
        return modulation.type() == DType.BFLOAT16 ? DType.BFLOAT16 : condition.dtype();
    }

    /**
     * Returns the attention of joined queries, keys and values with a gradient graph of its own, because libtorch has
     * different fused kernels with different backward operators for each device and type.
     *
     * @param joined (B, L, 3·D), whose value is a leaf
     * @return (B, L, D)
     */
    Dual mixed(Dual joined) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode on = Autograd.enableGrad()) {
            return attention.mixed(joined).keptFrom(scope);
        }
    }

    /** Adds the gradients of the norms' gains, if there are some that are not frozen, and returns that of {@code joined}. */
    Tensor mixedBackward(Tensor gradient, Tensor joined, Tensor mixed) {
        List<String> names = new ArrayList<>();
        List<Tensor> sources = new ArrayList<>(List.of(joined));
        for (String name : gains.areFrozen() ? List.<String>of() : List.of("q_norm.scale", "k_norm.scale")) {
            gains.find(name).ifPresent(gain -> {
                names.add(name);
                sources.add(gain);
            });
        }
        List<Tensor> found = Autograd.gradients(mixed, sources, gradient);
        for (int i = 0; i < names.size(); i++) {
            gains.gradient(names.get(i)).add_(found.get(i + 1));
        }
        return found.getFirst();
    }
}
