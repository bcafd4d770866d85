/** Optimisers, schedules and the moving average; each makes one pass over a parameter arena's flat buffers. */
@NullMarked
package org.metaflowmaps.training.optim;

import org.jspecify.annotations.NullMarked;
