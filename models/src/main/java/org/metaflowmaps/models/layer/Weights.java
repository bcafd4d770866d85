package org.metaflowmaps.models.layer;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;

/**
 * A prefix of parameter names: how a layer finds its own.
 *
 * @param arena all parameters of a network
 * @param prefix before each name, empty or ending in a dot
 */
public record Weights(ParameterArena arena, String prefix) {
    /** The weights of a part. */
    public Weights in(String name) {
        return new Weights(arena, prefix + name + ".");
    }

    /** The parameter of that name; an IllegalArgumentException if there is none. */
    public Tensor get(String name) {
        return arena.get(prefix + name);
    }

    /** The linear layer of that name: in bfloat16 under {@link Autocast}, which is for what every token or item goes through. */
    public Dual linear(Dual input, String name) {
        return input.linear(get(name + ".weight"), get(name + ".bias"));
    }

    /**
     * The linear layer of that name, in float32 also under {@link Autocast}: for times and conditions, which derivatives along time
     * go through, and for the way in and out. All of it together is a small part of a network's work.
     */
    public Dual exact(Dual input, String name) {
        return exact(input, get(name + ".weight"), get(name + ".bias"));
    }

    /** A linear layer in float32, also under {@link Autocast}. */
    public static Dual exact(Dual input, Tensor weight, Tensor bias) {
        try (Autocast off = Autocast.off(weight.device().type())) {
            return input.linear(weight, bias);
        }
    }

    /** The element type of all weights. */
    public DType dtype() {
        return arena.values().dtype();
    }

    /** The parameter of that name, or null. */
    public @Nullable Tensor find(String name) {
        return arena.parameters().get(prefix + name);
    }
}
