package org.metaflowmaps.steering.finetune;

import java.io.IOException;
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
}
