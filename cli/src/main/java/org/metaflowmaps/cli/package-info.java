/**
 * The main class of the {@code mfm} command. Commands, options, reports and the selfcheck are in the packages below.
 * Embedding applications need none of this.
 */
@NullMarked
package org.metaflowmaps.cli;

import org.jspecify.annotations.NullMarked;
