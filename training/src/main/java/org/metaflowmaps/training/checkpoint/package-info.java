/** What a checkpoint holds, as those who own the state hand it over. */
@NullMarked
package org.metaflowmaps.training.checkpoint;

import org.jspecify.annotations.NullMarked;
