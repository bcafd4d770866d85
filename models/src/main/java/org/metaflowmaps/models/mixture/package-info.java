/** The exact testbed: Gaussian mixtures, for which every quantity that a meta flow map estimates has a formula. */
@NullMarked
package org.metaflowmaps.models.mixture;

import org.jspecify.annotations.NullMarked;
