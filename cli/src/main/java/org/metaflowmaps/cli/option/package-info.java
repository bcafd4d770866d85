/**
 * Options and arguments that several commands share, and what they resolve to: a device, a checkpoint, class names. No command
 * and no output lives here.
 */
@NullMarked
package org.metaflowmaps.cli.option;

import org.jspecify.annotations.NullMarked;
