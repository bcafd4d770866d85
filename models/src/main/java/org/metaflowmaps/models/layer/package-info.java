/**
 * Layers of networks over {@code Dual}, a value with its forward-mode derivative. For networks, not for applications.
 */
@NullMarked
package org.metaflowmaps.models.layer;

import org.jspecify.annotations.NullMarked;
