/** Meta flow map networks, written once over {@link org.metaflowmaps.training.model.Dual} so that each also has its tangents. */
@NullMarked
package org.metaflowmaps.training.model;

import org.jspecify.annotations.NullMarked;
