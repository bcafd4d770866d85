/** Rewards: functions that score samples, the decoder of states to images, and their checks. */
@NullMarked
package org.metaflowmaps.steering.reward;

import org.jspecify.annotations.NullMarked;
