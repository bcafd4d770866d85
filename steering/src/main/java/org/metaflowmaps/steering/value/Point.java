package org.metaflowmaps.steering.value;

import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Tensor;

/**
 * Where a value function is asked: noisy states at one time.
 *
 * @param time t in (0, 1)
 * @param step of the sampler, from 0: it names the noise
 * @param state x_t: (rows, item shape), not owned
 * @param condition of the rows
 * @param noise gives the posterior draws their numbers
 */
public record Point(double time, int step, Tensor state, Condition condition, SteeringNoise noise) {}
