package org.metaflowmaps.training;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiFunction;
import java.util.function.Supplier;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Workers;

/** Computes the losses of a draw in parts, each on a thread of {@link Workers} with its own gradients. */
final class Parts<D> implements AutoCloseable {
    private final SplitObjective<D> objective;
    /** The objective, then its replicas. */
    private final List<SplitObjective<D>> each = new ArrayList<>();

    /**
     * Makes replicas.
     *
     * @param count parts of a draw, at least 2
     */
    Parts(SplitObjective<D> objective, int count) {
        this.objective = objective;
        each.add(objective);
        for (int i = 1; i < count; i++) {
            each.add(objective.replica());
        }
        replicas().forEach(replica -> replica.parameters().forEach(ParameterArena::gradients));
    }

    private List<SplitObjective<D>> replicas() {
        return each.subList(1, each.size());
    }

    /**
     * Adds the gradients of all losses of a draw to the objective's arenas.
     *
     * @param differentiate computes a loss, adds its gradients to those arenas and returns its error
     * @return the errors by name, in the innermost open scope
     */
    Map<String, Tensor> differentiate(D draw, BiFunction<Loss, List<ParameterArena>, Tensor> differentiate) {
        try (TensorScope scope = TensorScope.open()) {
            long items = objective.items(draw);
            int count = (int) Math.min(each.size(), items);
            List<List<Loss>> losses = new ArrayList<>();
            List<Supplier<List<Tensor>>> tasks = new ArrayList<>();
            for (int i = 0; i < count; i++) {
                D part = objective.slice(draw, i * items / count, (i + 1) * items / count);
                List<Loss> own = each.get(i).losses(part, draw);
                losses.add(own);
                boolean replica = i > 0;
                List<ParameterArena> arenas = each.get(i).parameters();
                tasks.add(() -> {
                    if (replica) {
                        arenas.forEach(arena -> arena.gradients().zero_());
                    }
                    return own.stream()
                            .map(loss -> differentiate.apply(loss, arenas))
                            .toList();
                });
            }
            List<List<Tensor>> found = Workers.map(tasks);
            Map<String, Tensor> errors = new LinkedHashMap<>();
            for (int i = 0; i < count; i++) {
                for (int k = 0; k < losses.get(i).size(); k++) {
                    errors.merge(losses.get(i).get(k).name(), found.get(i).get(k), Tensor::add);
                }
                if (i > 0) {
                    addGradients(each.get(i));
                }
            }
            errors.replaceAll((name, error) -> scope.keep(error));
            return errors;
        }
    }

    private void addGradients(SplitObjective<D> replica) {
        for (int i = 0; i < objective.parameters().size(); i++) {
            objective
                    .parameters()
                    .get(i)
                    .gradients()
                    .add_(replica.parameters().get(i).gradients());
        }
    }

    @Override
    public void close() {
        replicas().forEach(SplitObjective::close);
    }
}
