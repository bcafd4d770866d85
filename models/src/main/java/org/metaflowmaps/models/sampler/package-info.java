/**
 * One-step and multi-step samplers of flow maps, posteriors and drifts. Steering towards a reward is in
 * {@code steering}.
 */
@NullMarked
package org.metaflowmaps.models.sampler;

import org.jspecify.annotations.NullMarked;
