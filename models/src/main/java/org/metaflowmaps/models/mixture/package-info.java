/** Gaussian mixtures for tests: exact formulas for every quantity that a meta flow map estimates. */
@NullMarked
package org.metaflowmaps.models.mixture;

import org.jspecify.annotations.NullMarked;
