/** Images as bytes and as tensors: resizing and cropping as Pillow, PyTorch and TensorFlow do. */
@NullMarked
package org.metaflowmaps.models.vision.image;

import org.jspecify.annotations.NullMarked;
