package org.metaflowmaps.models.vision;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.Network;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;

/** Computes the outputs of the cases of one kind of reference file. */
interface ReferenceCases {
    /** Returns this library's outputs by name, or null for a case that it does not cover. */
    @Nullable
    Map<String, Tensor> compute(ReferenceFile.Case test) throws IOException;

    /** Loads another file with the same weights; null if this kind does not know the file. */
    @Nullable
    Network other(String name) throws IOException;

    /** The network of the file's own weights, or that part of it whose weights another file has. */
    ParameterArena own(Network other) throws IOException;

    /** Returns what cosines are multiplied by in this kind's scores and logits. */
    default double scoreScale() {
        return 1;
    }

    /** Adds a scalar per item and the gradient of its sum with respect to an input. */
    static Map<String, Tensor> differentiated(
            Tensor input, String value, UnaryOperator<Tensor> score, Map<String, Tensor> others) {
        Tensor leaf = input.detach().requiresGrad_(true);
        Tensor scores = score.apply(leaf);
        Map<String, Tensor> outputs = new LinkedHashMap<>(others);
        outputs.put("gradient", Autograd.gradients(scores.sum(), List.of(leaf)).getFirst());
        outputs.put(value, scores.detach());
        return outputs;
    }

    /** Multiplies by a cotangent and sums per item. */
    static Tensor weighted(Tensor output, Tensor cotangent) {
        return output.mul(cotangent).reshape(output.size(0), -1).sum(1);
    }
}
