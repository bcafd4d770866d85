/**
 * Tensors and their lifetime, devices, random numbers, autograd, parameter arenas and checkpoint files.
 *
 * <p>Models, training and sampling are in the modules above, native calls in {@code bindings} below.
 */
@NullMarked
package org.metaflowmaps.runtime;

import org.jspecify.annotations.NullMarked;
