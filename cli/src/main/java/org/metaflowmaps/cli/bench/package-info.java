/** What {@code mfm bench} measures. */
@NullMarked
package org.metaflowmaps.cli.bench;

import org.jspecify.annotations.NullMarked;
