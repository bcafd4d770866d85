package org.metaflowmaps.training.plan;

/**
 * Operations that the host gives to a GPU.
 *
 * @param kernels without products
 * @param products calls of cuBLAS and cuBLASLt
 * @param fills fills of memory
 */
public record Launches(long kernels, long products, long fills) {
    static final Launches NONE = new Launches(0, 0, 0);

    /** Returns the sum of all three. */
    public long total() {
        return kernels + products + fills;
    }

    Launches plus(Launches other) {
        return new Launches(kernels + other.kernels, products + other.products, fills + other.fills);
    }

    Launches times(long factor) {
        return new Launches(kernels * factor, products * factor, fills * factor);
    }
}
