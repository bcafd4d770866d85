/**
 * What commands show: tables, charts, the HTML report, and grids of samples together with the draws that fill them. Training and
 * evaluation live in the modules below.
 */
@NullMarked
package org.metaflowmaps.cli.report;

import org.jspecify.annotations.NullMarked;
