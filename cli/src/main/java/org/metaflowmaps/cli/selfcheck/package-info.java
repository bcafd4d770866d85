/**
 * Reads reference values from files and compares them with what this machine computes. The command that prints the outcomes lives
 * in {@code command}.
 */
@NullMarked
package org.metaflowmaps.cli.selfcheck;

import org.jspecify.annotations.NullMarked;
