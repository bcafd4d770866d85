/**
 * What a run's configuration says, section by section, with its ranges checked; its defaults, builders and reader, and
 * built-in ones.
 */
@NullMarked
package org.metaflowmaps.training.config;

import org.jspecify.annotations.NullMarked;
