/** Evaluations of samplers: they join a sampler, a network and a metric. Also the classifiers of Fashion-MNIST. */
@NullMarked
package org.metaflowmaps.steering.evaluation;

import org.jspecify.annotations.NullMarked;
