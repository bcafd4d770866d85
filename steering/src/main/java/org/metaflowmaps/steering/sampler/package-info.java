/** Single-particle samplers of a reward's tilted law: the flow's ODE or SDE with a corrected drift (method §7). */
@NullMarked
package org.metaflowmaps.steering.sampler;

import org.jspecify.annotations.NullMarked;
