/** Networks in files: detects a file's layout and network, and reads, checks, converts and writes it. */
@NullMarked
package org.metaflowmaps.models.checkpoint;

import org.jspecify.annotations.NullMarked;
