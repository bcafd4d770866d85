/** Losses of meta flow maps: the diagonal regression, the consistency losses and their weightings. */
@NullMarked
package org.metaflowmaps.training.loss;

import org.jspecify.annotations.NullMarked;
