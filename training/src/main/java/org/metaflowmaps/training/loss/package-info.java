/** What a meta flow map is trained on: the diagonal regression, the consistency losses and their weightings. */
@NullMarked
package org.metaflowmaps.training.loss;

import org.jspecify.annotations.NullMarked;
