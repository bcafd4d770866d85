/** JMH benchmarks and whole-program comparisons; every speed claim of the documents comes from here. */
@NullMarked
package org.metaflowmaps.benchmarks;

import org.jspecify.annotations.NullMarked;
