/**
 * Velocities to learn from: unconditional drifts, classifier-free guidance, and what follows from a drift for posteriors and for
 * transitions between two times.
 */
@NullMarked
package org.metaflowmaps.models.drift;

import org.jspecify.annotations.NullMarked;
