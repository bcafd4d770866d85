/**
 * Tensors and their lifetime, devices, random numbers, autograd, parameter arenas and checkpoint files.
 *
 * <p>What a model is, how it is trained and what is drawn from it lives above, in {@code training} and {@code steering};
 * how native functions are reached lives below, in {@code bindings}.
 */
@NullMarked
package org.metaflowmaps.runtime;

import org.jspecify.annotations.NullMarked;
