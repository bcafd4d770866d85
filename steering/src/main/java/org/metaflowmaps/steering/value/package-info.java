/** The value function of a tilted law, V_t(x) = log E[e^{λ·r(I_1)} | I_t = x], its gradient, and the noise of both. */
@NullMarked
package org.metaflowmaps.steering.value;

import org.jspecify.annotations.NullMarked;
