/**
 * Training images as plain arrays: file readers and the data sets this project knows.
 *
 * <p>Batches, augmentation and the way to a device live with the trainer; nothing here knows tensors.
 */
@NullMarked
package org.metaflowmaps.training.data;

import org.jspecify.annotations.NullMarked;
