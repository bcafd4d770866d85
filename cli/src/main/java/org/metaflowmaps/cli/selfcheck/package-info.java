/**
 * Reads reference values from files and compares them with this machine's results. The command is in {@code command}.
 */
@NullMarked
package org.metaflowmaps.cli.selfcheck;

import org.jspecify.annotations.NullMarked;
