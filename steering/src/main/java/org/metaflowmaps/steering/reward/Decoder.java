package org.metaflowmaps.steering.reward;

import org.metaflowmaps.runtime.Tensor;

/** Turns states of a map into the images that rewards take: the one place for range, size and clamp. */
@FunctionalInterface
public interface Decoder {
    /** Leaves states as they are: for rewards that take states. */
    Decoder IDENTITY = states -> states;

    /**
     * Decodes states; gradients flow through, also where values are clamped.
     *
     * @param states (N, item shape)
     * @return images (N, C, H, W) in [0, 1], in the innermost open scope or {@code states} itself
     */
    Tensor decode(Tensor states);
}
