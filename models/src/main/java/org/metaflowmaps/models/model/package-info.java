/**
 * Networks: flow maps and meta flow maps, their inputs, configurations and initial weights. Loading from files is in
 * {@code checkpoint}, layers are in {@code layer}.
 */
@NullMarked
package org.metaflowmaps.models.model;

import org.jspecify.annotations.NullMarked;
