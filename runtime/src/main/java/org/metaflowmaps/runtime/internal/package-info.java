/** What the runtime's packages share and no application calls. */
@NullMarked
package org.metaflowmaps.runtime.internal;

import org.jspecify.annotations.NullMarked;
