/** Options and arguments that several commands share, and their results: a device, a checkpoint, class names. */
@NullMarked
package org.metaflowmaps.cli.option;

import org.jspecify.annotations.NullMarked;
