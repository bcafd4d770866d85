package org.metaflowmaps.steering.value;

import com.google.common.base.Preconditions;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Tensor;

/**
 * Runs an estimator's steps as CUDA graphs, each with its draws' backward pass: see {@link PointGraphs}. On the CPU, or
 * if CUDA refuses, the estimator runs as it is. Estimates are the same.
 *
 * <p>Thread safety: one thread at a time, the one that made the graphs.
 *
 * @param estimator not owned
 * @param graphs not owned
 */
public record CapturedGradient(ValueGradient estimator, PointGraphs graphs) implements ValueGradient {
    /** Checks for null. */
    public CapturedGradient {
        Preconditions.checkNotNull(estimator, "captured gradient: the estimator is null");
        Preconditions.checkNotNull(graphs, "captured gradient: the graphs are null");
    }

    @Override
    public Estimate at(Point point) {
        List<Tensor> results = graphs.run(estimator, point, own -> {
            Estimate estimate = estimator.at(own);
            List<Tensor> tensors = new ArrayList<>(List.of(estimate.base(), estimate.correction()));
            estimate.value().ifPresent(tensors::add);
            return tensors;
        });
        return new Estimate(
                results.get(0), results.get(1), results.size() > 2 ? Optional.of(results.get(2)) : Optional.empty());
    }

    @Override
    public long evaluations(Condition condition) {
        return estimator.evaluations(condition);
    }
}
