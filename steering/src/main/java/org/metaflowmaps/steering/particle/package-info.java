/** Particle filters: weighted and resampled samples of a law that a reward tilts, with an estimate of its normaliser (method §8.1). */
@NullMarked
package org.metaflowmaps.steering.particle;

import org.jspecify.annotations.NullMarked;
