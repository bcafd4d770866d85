package org.metaflowmaps.models.layer;

import java.util.Optional;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;

/**
 * A prefix of parameter names, by which a layer finds its parameters.
 *
 * @param arena all parameters of a network
 * @param prefix before each name, empty or ending in a dot
 */
public record Weights(ParameterArena arena, String prefix) {
    /** Returns the weights of a part. */
    public Weights in(String name) {
        return new Weights(arena, prefix + name + ".");
    }

    /** Returns the parameter of that name; throws IllegalArgumentException if it is missing. */
    public Tensor get(String name) {
        return arena.get(prefix + name);
    }

    /** Returns the parameter of that name, if it exists. */
    public Optional<Tensor> find(String name) {
        return Optional.ofNullable(arena.parameters().get(prefix + name));
    }

    /**
     * Returns the gradient of the parameter of that name: a view of the arena's gradients, in the innermost open scope.
     */
    public Tensor gradient(String name) {
        return arena.gradient(prefix + name);
    }

    /** Returns true if the parameters never get gradients. */
    public boolean areFrozen() {
        return arena.isFrozen();
    }

    /** Returns the linear layer of that name. */
    public Linear linear(String name) {
        return new Linear(in(name));
    }
}
