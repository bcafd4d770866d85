package org.metaflowmaps.training;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Function;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.cuda.StepGraph;

/** Runs the part of a step after its draw as a CUDA graph: losses, gradients, clipping and update. */
final class CapturedSteps<D> implements AutoCloseable {
    /** One for each phase and shape; a run has few of both. */
    private static final int MOST_GRAPHS = 8;

    private final GraphObjective<D> objective;
    private final StepGraph graphs;

    CapturedSteps(GraphObjective<D> objective, Device device) {
        this.objective = objective;
        this.graphs = new StepGraph(device, MOST_GRAPHS);
    }

    /** What a graph holds besides the objective's phase: whether the moving average is a plain copy. */
    private record Phase(Object losses, boolean copies) {}

    /**
     * Runs the rest of a step.
     *
     * @param copies whether the moving average copies the weights in this step
     * @param rest computes it for a draw and returns its results
     * @return the results, in the innermost open scope
     */
    StepRunner.Result run(D draw, boolean copies, Function<D, StepRunner.Result> rest) {
        List<Tensor> inputs = new ArrayList<>();
        objective.map(draw, tensor -> {
            inputs.add(tensor);
            return tensor;
        });
        // Read only the names here; the graph computes the losses.
        List<String> names = objective.losses(draw).stream().map(Loss::name).toList();
        List<Tensor> results = graphs.run(new Phase(objective.phase(draw), copies), inputs, given -> {
            Iterator<Tensor> next = given.iterator();
            StepRunner.Result result = rest.apply(objective.map(draw, tensor -> next.next()));
            List<Tensor> tensors = new ArrayList<>(List.of(result.norm()));
            names.forEach(
                    name -> tensors.add(Objects.requireNonNull(result.errors().get(name))));
            return tensors;
        });
        Map<String, Tensor> errors = new LinkedHashMap<>();
        for (int i = 0; i < names.size(); i++) {
            errors.put(names.get(i), results.get(i + 1));
        }
        return new StepRunner.Result(errors, results.getFirst());
    }

    /** The graphs, owned by this object. */
    StepGraph graphs() {
        return graphs;
    }

    @Override
    public void close() {
        graphs.close();
    }
}
