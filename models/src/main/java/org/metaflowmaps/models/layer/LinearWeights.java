package org.metaflowmaps.models.layer;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;

/** A layer's weight (out, in) and bias (out), and their bfloat16 copies while their arena has some. */
final class LinearWeights {
    private final Weights weights;
    private final Tensor weight;
    private final Tensor bias;
    /** Of the last call; remembered because a lookup by name for each pass would cost as much as a launch. */
    private @Nullable Narrowed last;

    /**
     * The copies.
     *
     * @param arena that owns them
     */
    record Narrowed(ParameterArena arena, Tensor weight, Tensor bias) {}

    /** The tensors named weight and bias. */
    LinearWeights(Weights weights) {
        this.weights = weights;
        this.weight = weights.get("weight");
        this.bias = weights.get("bias");
    }

    Tensor weight() {
        return weight;
    }

    Tensor bias() {
        return bias;
    }

    /** Returns the copies, see {@link ParameterArena#narrow}; null if there are none. */
    @Nullable
    Narrowed narrowed() {
        ParameterArena arena = weights.arena().narrowed();
        if (arena == null) {
            return null;
        }
        Narrowed found = last;
        if (found == null || found.arena() != arena) {
            Weights copies = new Weights(arena, weights.prefix());
            found = new Narrowed(arena, copies.get("weight"), copies.get("bias"));
            last = found;
        }
        return found;
    }

    /** Returns the type of the layer's product: that of the weights, bfloat16 under autocast. */
    DType products() {
        DType type = weight.dtype();
        return type == DType.FLOAT32 && Autocast.isOn(weight.device().type()) ? DType.BFLOAT16 : type;
    }

    boolean areFrozen() {
        return weights.areFrozen();
    }

    /** Returns the gradients of that tensor, a view of the arena's in the innermost open scope. */
    Tensor gradient(String name) {
        return weights.gradient(name);
    }
}
