/** What a run's configuration says, section by section, with its ranges checked; its defaults, built-in configurations and reader. */
@NullMarked
package org.metaflowmaps.training.config;

import org.jspecify.annotations.NullMarked;
