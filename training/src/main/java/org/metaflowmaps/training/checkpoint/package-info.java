/** State that objects save in a checkpoint. */
@NullMarked
package org.metaflowmaps.training.checkpoint;

import org.jspecify.annotations.NullMarked;
