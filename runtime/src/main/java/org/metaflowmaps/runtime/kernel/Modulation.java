package org.metaflowmaps.runtime.kernel;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Tensor;

/**
 * Gate, shift and scale as kernels read them: rows with one stride. Views of one tensor, the usual case, are taken as they are; others
 * are copied.
 *
 * @param gate null for none
 * @param stride elements between rows
 */
record Modulation(@Nullable Tensor gate, Tensor shift, Tensor scale, long stride) {
    static Modulation of(@Nullable Tensor gate, Tensor shift, Tensor scale) {
        long stride = Operand.strides(shift)[0];
        if (isRow(shift, stride) && isRow(scale, stride) && (gate == null || isRow(gate, stride))) {
            return new Modulation(gate, shift, scale, stride);
        }
        return new Modulation(denseOrNull(gate), dense(shift), dense(scale), shift.size(1));
    }

    private static boolean isRow(Tensor tensor, long stride) {
        long[] strides = Operand.strides(tensor);
        return strides[1] == 1 && strides[0] == stride && stride % 4 == 0 && Operand.isAligned(tensor);
    }

    /** Returns a tensor without gaps whose elements can be loaded four at a time; copies it if needed. */
    static Tensor dense(Tensor tensor) {
        Tensor whole = tensor.contiguous();
        return Operand.isAligned(whole) ? whole : whole.clone();
    }

    static @Nullable Tensor denseOrNull(@Nullable Tensor tensor) {
        return tensor == null ? null : dense(tensor);
    }
}
