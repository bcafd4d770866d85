/** How good samples are: distances between sets of images or points, and what they are measured with. */
@NullMarked
package org.metaflowmaps.steering.evaluation;

import org.jspecify.annotations.NullMarked;
