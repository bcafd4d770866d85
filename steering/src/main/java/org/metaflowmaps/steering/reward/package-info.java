/** Rewards: functions of samples that say how good they are, the decoder between states and images, and the checks of both. */
@NullMarked
package org.metaflowmaps.steering.reward;

import org.jspecify.annotations.NullMarked;
