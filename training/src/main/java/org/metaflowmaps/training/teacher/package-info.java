/** Velocities to learn from: unconditional drifts, classifier-free guidance, and the conditional drift that follows from a drift. */
@NullMarked
package org.metaflowmaps.training.teacher;

import org.jspecify.annotations.NullMarked;
