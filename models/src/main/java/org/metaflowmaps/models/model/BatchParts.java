package org.metaflowmaps.models.model;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ProfilerRange;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.Workers;

/**
 * Evaluates a network on the CPU in parts of the batch, one per thread of {@link Workers}. Only while no gradients are
 * recorded, because a backward pass through the parts would run on one thread.
 */
final class BatchParts {
    /** The least work of a part, about 0.1 ms, which is long beside handing over a task. */
    private static final double LEAST = 4e6;
    /** Below this work, about 10 ms, operations run on one thread too: their products are too short to share. */
    private static final double SMALL = 1e9;

    private BatchParts() {}

    /** A network's evaluation, as {@link MetaFlowMap#averageVelocity(Dual, Dual, Dual, Context)}. */
    @FunctionalInterface
    interface Evaluation {
        Dual at(Dual start, Dual end, Dual state, Context context);
    }

    /**
     * Evaluates a network, in parts if that is faster.
     *
     * @param work floating point operations per item
     * @return in the innermost open scope
     */
    static Dual evaluate(double work, Evaluation network, Dual start, Dual end, Dual state, Context context) {
        boolean varies = start.tangent() != null || end.tangent() != null || state.tangent() != null;
        // A tangent is computed layer by layer with its value, so the two share a range.
        try (ProfilerRange range = ProfilerRange.open(varies ? "tangent" : "network")) {
            return parts(work, network, start, end, state, context);
        }
    }

    private static Dual parts(double work, Evaluation network, Dual start, Dual end, Dual state, Context context) {
        long items = state.primal().size(0);
        if (Autograd.isRecording() || state.primal().device().type() != Device.Type.CPU) {
            return network.at(start, end, state, context);
        }
        long count = Math.min(Workers.count(), Math.min(items, (long) (items * work / LEAST)));
        if (count < 2) {
            return items * work < SMALL
                    ? Workers.alone(() -> network.at(start, end, state, context))
                    : network.at(start, end, state, context);
        }
        boolean cast = Autocast.isOn(Device.Type.CPU);
        try (TensorScope scope = TensorScope.open()) {
            List<Supplier<List<Tensor>>> parts = new ArrayList<>();
            for (long i = 0; i < count; i++) {
                long from = i * items / count;
                long length = (i + 1) * items / count - from;
                Dual first = start.narrow(0, from, length);
                Dual second = end.narrow(0, from, length);
                Dual states = state.narrow(0, from, length);
                Context contexts = context.slice(from, length);
                parts.add(() -> {
                    try (Autocast mode = cast ? Autocast.bfloat16(Device.Type.CPU) : Autocast.off(Device.Type.CPU)) {
                        return tensors(network.at(first, second, states, contexts));
                    }
                });
            }
            return joined(Workers.map(parts)).keptFrom(scope);
        }
    }

    private static List<Tensor> tensors(Dual dual) {
        Tensor tangent = dual.tangent();
        return tangent == null ? List.of(dual.primal()) : List.of(dual.primal(), tangent);
    }

    private static Dual joined(List<List<Tensor>> parts) {
        Tensor primal = Torch.cat(0, parts.stream().map(List::getFirst).toArray(Tensor[]::new));
        return parts.getFirst().size() == 1
                ? Dual.constant(primal)
                : Dual.of(primal, Torch.cat(0, parts.stream().map(List::getLast).toArray(Tensor[]::new)));
    }
}
