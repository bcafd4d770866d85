/**
 * What a network is: flow maps and meta flow maps, their inputs, their configurations and their first weights. How they are read
 * from files is in {@code checkpoint}; the layers that they are made of are in {@code layer}.
 */
@NullMarked
package org.metaflowmaps.models.model;

import org.jspecify.annotations.NullMarked;
