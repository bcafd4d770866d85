/** Readers of data files, the data sets this project knows, and the endless streams of batches that a trainer draws from. */
@NullMarked
package org.metaflowmaps.training.data;

import org.jspecify.annotations.NullMarked;
