/**
 * One class per subcommand of {@code mfm}: it reads its options, calls the library and prints. Evaluation and sampling
 * are in the modules below, tables and pictures in {@code report}.
 */
@NullMarked
package org.metaflowmaps.cli.command;

import org.jspecify.annotations.NullMarked;
