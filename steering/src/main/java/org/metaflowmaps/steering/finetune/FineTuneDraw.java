package org.metaflowmaps.steering.finetune;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.LinearInterpolant;
import org.metaflowmaps.runtime.Tensor;

/**
 * The random numbers and data of a fine-tuning step. The loss uses only these: it draws nothing and reads nothing back.
 *
 * @param step the steps taken before, from 0; the strength's schedule depends on it
 * @param time t: (B) in [0, 1]
 * @param noise I_0 of the state x_t = (1 - t)·I_0 + t·I_1: (B, item shape)
 * @param data I_1 of the state: (B, item shape)
 * @param posteriorNoise ε of the one posterior draw of each item: (B, item shape)
 * @param condition labels and guidance scales of student and base
 * @param drawCondition labels and guidance scales of the posterior draws; the reward sees these labels
 * @param weights factors of the items' losses: (B); null for 1
 */
public record FineTuneDraw(
        long step,
        Tensor time,
        Tensor noise,
        Tensor data,
        Tensor posteriorNoise,
        Condition condition,
        Condition drawCondition,
        @Nullable Tensor weights) {
    /** Returns x_t: (B, item shape), in the innermost open scope. */
    public Tensor state() {
        return LinearInterpolant.state(noise, data, time);
    }

    /** Returns dI_t/dt = I_1 - I_0: (B, item shape), in the innermost open scope. */
    Tensor velocity() {
        return LinearInterpolant.velocity(noise, data);
    }
}
