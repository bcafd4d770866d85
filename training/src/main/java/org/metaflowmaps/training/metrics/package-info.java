/**
 * What a run writes: TensorBoard event files and a log of JSON lines.
 *
 * <p>Which numbers a run reports is decided by the trainer; nothing here knows tensors.
 */
@NullMarked
package org.metaflowmaps.training.metrics;

import org.jspecify.annotations.NullMarked;
