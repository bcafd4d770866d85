package org.metaflowmaps.training.model;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;

/** A prefix of parameter names: how a layer finds its own. */
record Weights(ParameterArena arena, String prefix) {
    Weights in(String name) {
        return new Weights(arena, prefix + name + ".");
    }

    Tensor get(String name) {
        return arena.get(prefix + name);
    }

    /** The linear layer of that name. */
    Dual linear(Dual input, String name) {
        return input.linear(get(name + ".weight"), get(name + ".bias"));
    }

    @Nullable Tensor find(String name) {
        return arena.parameters().get(prefix + name);
    }
}
