/**
 * The {@code mfm} command: its main class. Commands, options, reports and the selfcheck live in the packages below; nothing that an
 * embedding application would need lives here.
 */
@NullMarked
package org.metaflowmaps.cli;

import org.jspecify.annotations.NullMarked;
