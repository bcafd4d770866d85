/** The formatter of this repository's Java sources. No other module uses it. */
@NullMarked
package org.metaflowmaps.codestyle;

import org.jspecify.annotations.NullMarked;
