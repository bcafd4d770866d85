/** The {@code mfm} command: argument handling, wiring and printing; nothing that an embedding application would need. */
@NullMarked
package org.metaflowmaps.cli;

import org.jspecify.annotations.NullMarked;
