package org.metaflowmaps.runtime;

import com.google.common.primitives.ImmutableLongArray;
import java.util.Arrays;

/**
 * The sizes of a tensor's dimensions, outermost first; a scalar has none.
 *
 * @param sizes each at least 0; their product, times 8 bytes, fits in 63 bits
 */
public record Shape(ImmutableLongArray sizes) {
    /**
     * Checks the sizes.
     *
     * @throws IllegalArgumentException for a negative size, or more elements than memory can hold
     */
    public Shape {
        long[] values = sizes.toArray();
        Operands.shape("shape", values);
    }

    /**
     * The shape with these sizes.
     *
     * @throws IllegalArgumentException for a negative size, or more elements than memory can hold
     */
    public static Shape of(long... sizes) {
        return new Shape(ImmutableLongArray.copyOf(Operands.present("Shape.of", "sizes", sizes)));
    }

    /** The number of dimensions. */
    public int dim() {
        return sizes.length();
    }

    /**
     * The size of one dimension; negative counts from the end.
     *
     * @throws IllegalArgumentException if there is no such dimension
     */
    public long size(int dim) {
        int index = dim < 0 ? dim + dim() : dim;
        if (index < 0 || index >= dim()) {
            throw new IllegalArgumentException(
                    "size(" + dim + ") of shape " + this + ": it has " + dim() + " dimensions");
        }
        return sizes.get(index);
    }

    /** The number of elements; 1 for a scalar. */
    public long numel() {
        long count = 1;
        for (int i = 0; i < sizes.length(); i++) {
            count *= sizes.get(i);
        }
        return count;
    }

    /** Returns the strides in elements of a contiguous tensor of this shape. */
    public long[] strides() {
        long[] strides = new long[dim()];
        long step = 1;
        for (int i = dim() - 1; i >= 0; i--) {
            strides[i] = step;
            step *= Math.max(1, sizes.get(i));
        }
        return strides;
    }

    /** Returns this shape with more dimensions before it, such as a batch. */
    public Shape prepend(long... before) {
        long[] all = Arrays.copyOf(before, before.length + dim());
        System.arraycopy(toArray(), 0, all, before.length, dim());
        return of(all);
    }

    /** The dimensions from {@code start} on. */
    public Shape from(int start) {
        return new Shape(sizes.subArray(start, dim()));
    }

    /** The sizes, copied. */
    public long[] toArray() {
        return sizes.toArray();
    }

    /** The sizes as text, such as {@code [2, 3]}. */
    @Override
    public String toString() {
        return sizes.toString();
    }
}
