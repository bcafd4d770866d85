/** Distances between sets of images or points, from tensors alone: nothing here calls a network. */
@NullMarked
package org.metaflowmaps.steering.metric;

import org.jspecify.annotations.NullMarked;
