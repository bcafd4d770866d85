/**
 * Operations with kernels of this library: CUDA's, which are compiled at first use, kept on disk, and launched on libtorch's current
 * stream, and loops for the CPU. Each operation also exists as a composition of libtorch's operators, which computes it on other devices,
 * for other types and widths, and in tests. No operation here records gradients.
 */
@NullMarked
package org.metaflowmaps.runtime.kernel;

import org.jspecify.annotations.NullMarked;
