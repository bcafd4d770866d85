/** Networks in files: which layout a file has, what network it holds, and reading, checking, converting and writing it. */
@NullMarked
package org.metaflowmaps.models.checkpoint;

import org.jspecify.annotations.NullMarked;
