/**
 * Streams, events, captured steps and memory statistics of NVIDIA GPUs. Use these classes only for a device for which
 * {@link org.metaflowmaps.runtime.Device#available} returned.
 */
@NullMarked
package org.metaflowmaps.runtime.cuda;

import org.jspecify.annotations.NullMarked;
