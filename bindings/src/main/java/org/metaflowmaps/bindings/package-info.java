/**
 * Calls to native code: libtorch's stable C ABI, the CUDA runtime and driver, NVRTC and NVTX through the JDK's foreign
 * function interface, and the set-up of the JavaCPP presets.
 *
 * <p>This package has no policy: no tensor type, no scopes, no devices beyond what the C functions know. Nothing outside
 * {@code runtime} should need this package.
 */
@NullMarked
package org.metaflowmaps.bindings;

import org.jspecify.annotations.NullMarked;
