/** Distances between samples, and what a trained map's draws are apart from exact ones. */
@NullMarked
package org.metaflowmaps.steering.evaluation;

import org.jspecify.annotations.NullMarked;
