/** Helpers that the runtime's packages share; not for applications. */
@NullMarked
package org.metaflowmaps.runtime.internal;

import org.jspecify.annotations.NullMarked;
