package org.metaflowmaps.training;

import com.google.common.base.Preconditions;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.training.checkpoint.Saved;
import org.metaflowmaps.training.optim.MovingAverage;
import org.metaflowmaps.training.optim.Optimizer;

/**
 * The state of a run that changes during training; not owned.
 *
 * @param map the network; its parameters are the objective's first
 * @param average the moving average of its weights
 * @param random the source of the objective's draws
 * @param optimizers one for each of the objective's arenas, in their order
 * @param objective the trained objective
 */
public record RunState(
        MetaFlowMap map,
        MovingAverage average,
        RandomSource random,
        List<Optimizer> optimizers,
        Objective<?> objective) {
    /** Keeps its own list. */
    public RunState {
        optimizers = List.copyOf(optimizers);
        Preconditions.checkArgument(!optimizers.isEmpty(), "run: no optimisers, expected one for each arena");
        Preconditions.checkNotNull(objective, "run: the objective is null");
    }

    /** Returns the state for a checkpoint; reads the number of updates from the device. */
    Checkpoint.State checkpoint() {
        Optimizer first = optimizers.getFirst();
        Saved saved = new Saved(Map.of("values", map.parameters().values()), Map.of(Optimizer.UPDATES, first.steps()))
                .and(new Saved(first.moments(), Map.of()).under("moment/"));
        for (int i = 1; i < optimizers.size(); i++) {
            Map<String, Tensor> buffers = new LinkedHashMap<>();
            buffers.put("values", optimizers.get(i).arena().values());
            buffers.putAll(optimizers.get(i).moments());
            // All optimisers count the same updates, so save only the first's counter.
            saved = saved.and(new Saved(buffers, Map.of()).under("more/weighting" + (i - 1) + "/"));
        }
        return new Checkpoint.State(
                map, average, random, saved.and(objective.saved().under("more/")));
    }
}
