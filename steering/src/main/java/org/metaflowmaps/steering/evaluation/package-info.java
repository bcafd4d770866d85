/** Quality of samples: distances between sets of images or points, and the classifier for their features. */
@NullMarked
package org.metaflowmaps.steering.evaluation;

import org.jspecify.annotations.NullMarked;
