/**
 * Frozen networks on images, read from their published weight files: autoencoders of latents, CLIP, ImageReward, the
 * aesthetic predictor and the Inception network of FID. All are differentiable in the image.
 */
@NullMarked
package org.metaflowmaps.models.vision;

import org.jspecify.annotations.NullMarked;
