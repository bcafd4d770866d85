package org.metaflowmaps.models.vision;

import java.util.List;

/**
 * Where a file has a tensor of a network.
 *
 * @param names one name, or several whose tensors are joined along the first dimension
 * @param form how to read the stored tensor
 */
record Source(List<String> names, Form form) {
    enum Form {
        /** As it is. */
        PLAIN,
        /** A matrix with its dimensions swapped. */
        TRANSPOSED,
        /** A matrix that may be stored as a convolution of one pixel, with further dimensions of size 1. */
        MATRIX
    }

    static Source of(String name) {
        return new Source(List.of(name), Form.PLAIN);
    }

    static Source transposed(String name) {
        return new Source(List.of(name), Form.TRANSPOSED);
    }

    static Source matrix(String name) {
        return new Source(List.of(name), Form.MATRIX);
    }

    static Source joined(String... names) {
        return new Source(List.of(names), Form.PLAIN);
    }
}
