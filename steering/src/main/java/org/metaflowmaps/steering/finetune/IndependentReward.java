package org.metaflowmaps.steering.finetune;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.OptionalDouble;
import org.metaflowmaps.models.model.MetaFlowMap;

/** Measures a student with a reward that it is not trained on, with the same noise each time. */
@FunctionalInterface
public interface IndependentReward {
    /**
     * Measures the student.
     *
     * @param student the student with averaged weights, frozen; not owned
     * @param step the steps taken
     * @return the mean reward of its samples; higher is better
     * @throws IOException if results cannot be written, which ends the run
     */
    double of(MetaFlowMap student, long step) throws IOException;

    /**
     * Measures the student, with other numbers of its samples; this is what a run calls.
     *
     * @param student as for {@link #of}
     * @param step the steps taken
     * @return the result of {@link #of} alone, unless this method is overridden
     * @throws IOException if results cannot be written, which ends the run
     */
    default Result measure(MetaFlowMap student, long step) throws IOException {
        return new Result(OptionalDouble.of(of(student, step)), Map.of());
    }

    /**
     * A measurement.
     *
     * @param score the mean reward, which decides about the best checkpoint and the end of the run; empty for none
     * @param metrics other numbers for the run's metrics, by name, in order. Names begin with {@code average/} for the
     *     student's and with {@code base/} for the base's.
     */
    record Result(OptionalDouble score, Map<String, Double> metrics) {
        /** Copies the metrics, keeping their order. */
        public Result {
            Preconditions.checkNotNull(score, "independent reward: the score is null; for none, give an empty one");
            metrics = Collections.unmodifiableMap(new LinkedHashMap<>(metrics));
        }
    }
}
