package org.metaflowmaps.steering.reward;

import org.metaflowmaps.runtime.Tensor;

/** Converts states of a map to images for rewards: range, size and clamp. */
@FunctionalInterface
public interface Decoder {
    /** Returns states unchanged, for rewards of states. */
    Decoder IDENTITY = states -> states;

    /**
     * Decodes states; gradients flow through, also where values are clamped.
     *
     * @param states (N, item shape)
     * @return images (N, C, H, W) in [0, 1], in the innermost open scope or {@code states} itself
     */
    Tensor decode(Tensor states);

    /** Returns where NaN appeared first in what was decoded so far, for a message; empty if unknown. */
    default String diagnosis() {
        return "";
    }
}
