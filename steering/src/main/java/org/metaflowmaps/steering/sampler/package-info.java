/** Single-particle samplers of a law that a reward tilts: the flow's ODE or SDE with a correction of its drift (method §7). */
@NullMarked
package org.metaflowmaps.steering.sampler;

import org.jspecify.annotations.NullMarked;
