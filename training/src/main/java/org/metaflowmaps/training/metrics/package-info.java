/**
 * Writes a run's metrics: TensorBoard event files and a log of JSON lines.
 *
 * <p>The trainer decides which numbers are reported; this package does not use tensors.
 */
@NullMarked
package org.metaflowmaps.training.metrics;

import org.jspecify.annotations.NullMarked;
