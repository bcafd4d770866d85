/** Sections of a run's configuration with range checks; defaults, builders, reader and built-in configurations. */
@NullMarked
package org.metaflowmaps.training.config;

import org.jspecify.annotations.NullMarked;
