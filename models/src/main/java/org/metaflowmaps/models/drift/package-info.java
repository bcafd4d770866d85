/**
 * Velocities: unconditional drifts, classifier-free guidance, and drifts of posteriors and of transitions between two
 * times.
 */
@NullMarked
package org.metaflowmaps.models.drift;

import org.jspecify.annotations.NullMarked;
