/** Readers of data files, known data sets, and the endless streams of batches for a trainer. */
@NullMarked
package org.metaflowmaps.training.data;

import org.jspecify.annotations.NullMarked;
