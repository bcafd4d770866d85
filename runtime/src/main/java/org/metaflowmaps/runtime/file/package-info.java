/**
 * Files of named tensors, memory-mapped: safetensors and PyTorch's own formats, to read and to write whole or not at all. What a
 * file's tensors mean, and which network they belong to, is decided above.
 */
@NullMarked
package org.metaflowmaps.runtime.file;

import org.jspecify.annotations.NullMarked;
