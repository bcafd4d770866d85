/**
 * The interpolant, networks, losses, optimisers, data and the trainer of flow maps and meta flow maps.
 *
 * <p>Drawing from a trained map and steering it live above, in {@code steering}.
 */
@NullMarked
package org.metaflowmaps.training;

import org.jspecify.annotations.NullMarked;
