/**
 * Calls to native code: libtorch's stable C ABI, the CUDA runtime and driver, NVRTC and NVTX through the JDK's foreign
 * function interface, and the setup of the JavaCPP presets.
 *
 * <p>This package has no policy: no tensor type, no scopes, no device type. Only {@code runtime} should need it.
 */
@NullMarked
package org.metaflowmaps.bindings;

import org.jspecify.annotations.NullMarked;
