/**
 * What a run writes and shows: TensorBoard event files, a log of JSON lines, and progress on the terminal.
 *
 * <p>Which numbers a run reports is decided by the trainer; nothing here knows tensors.
 */
@NullMarked
package org.metaflowmaps.training.metrics;

import org.jspecify.annotations.NullMarked;
