/** JMH benchmarks and whole-program comparisons; the source of all speed claims in the documents. */
@NullMarked
package org.metaflowmaps.benchmarks;

import org.jspecify.annotations.NullMarked;
