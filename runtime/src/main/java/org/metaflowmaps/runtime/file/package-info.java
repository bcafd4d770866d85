/**
 * Files of named tensors, memory-mapped: safetensors and PyTorch's formats, to read and to write atomically. This
 * package does not know what the tensors mean or which network they belong to.
 */
@NullMarked
package org.metaflowmaps.runtime.file;

import org.jspecify.annotations.NullMarked;
