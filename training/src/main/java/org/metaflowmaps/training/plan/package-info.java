/**
 * What a training run needs, computed from its configuration without starting it: operations, memory and launches of a
 * step. No tensor is made and no native library is loaded here.
 */
@NullMarked
package org.metaflowmaps.training.plan;

import org.jspecify.annotations.NullMarked;
