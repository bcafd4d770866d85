/** Samplers of a trained meta flow map: its posterior draws, refinement sampling and chained flow-map steps. */
@NullMarked
package org.metaflowmaps.steering;

import org.jspecify.annotations.NullMarked;
