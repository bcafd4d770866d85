/**
 * The trainer of flow maps and meta flow maps, with losses, optimisers and data.
 *
 * <p>Evaluation of trained maps is in {@code steering}.
 */
@NullMarked
package org.metaflowmaps.training;

import org.jspecify.annotations.NullMarked;
