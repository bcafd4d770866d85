/** One-step and many-step samplers of flow maps, posteriors and drifts. What steers them towards a reward is in steering. */
@NullMarked
package org.metaflowmaps.models.sampler;

import org.jspecify.annotations.NullMarked;
