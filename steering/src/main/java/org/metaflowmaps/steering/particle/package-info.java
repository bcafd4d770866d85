/**
 * Particle filters: weighted and resampled samples of a law that a reward tilts, with an estimate of its normaliser
 * (method §8.1). Searches for samples of high reward: greedy, by trees, and best-of-N (method §8.2 to §8.4).
 */
@NullMarked
package org.metaflowmaps.steering.particle;

import org.jspecify.annotations.NullMarked;
