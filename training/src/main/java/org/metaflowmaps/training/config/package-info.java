/** What a run's configuration file says, section by section, with its ranges checked; nothing here computes. */
@NullMarked
package org.metaflowmaps.training.config;

import org.jspecify.annotations.NullMarked;
