/**
 * Output of commands: tables, charts, the HTML report, and grids of samples with their draws. Training and evaluation
 * are in the modules below.
 */
@NullMarked
package org.metaflowmaps.cli.report;

import org.jspecify.annotations.NullMarked;
