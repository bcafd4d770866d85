package org.metaflowmaps.training.data;

/** An array of unsigned bytes from an IDX file, in row-major order. */
public final class IdxArray {
    private final int[] shape;
    private final byte[] data;

    IdxArray(int[] shape, byte[] data) {
        this.shape = shape;
        this.data = data;
    }

    /**
     * Returns the size of each dimension.
     *
     * @return a copy; every size is at least 1 and their product is the length of {@link #data()}
     */
    public int[] shape() {
        return shape.clone();
    }

    /**
     * Returns the elements, unsigned, in row-major order.
     *
     * @return the array itself, not a copy
     */
    public byte[] data() {
        return data;
    }
}
