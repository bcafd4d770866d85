package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.stream.LongStream;
import org.bytedeco.pytorch.Tensor;

/** Tensors for tests: float32 on the CPU, and their contents. */
final class Tensors {
    static final int FLOAT = 6;
    static final int CPU = 0;

    private Tensors() {}

    /** Returns a new tensor of the given sizes with elements 0, 1, 2…; the garbage collector frees its memory. */
    static long of(long... sizes) {
        long numel = LongStream.of(sizes).reduce(1, (a, b) -> a * b);
        MemorySegment data = Arena.ofAuto().allocate(Math.max(numel, 1) * 4, 64);
        for (int i = 0; i < numel; i++) {
            data.setAtIndex(JAVA_FLOAT, i, (float) i);
        }
        // The deleter's reference keeps the memory alive.
        return StableAbi.fromBlob(data, sizes, rowMajor(sizes), FLOAT, CPU, -1, () -> data.fill((byte) 0));
    }

    static long[] rowMajor(long... sizes) {
        long[] strides = new long[sizes.length];
        long stride = 1;
        for (int i = sizes.length; i-- > 0; ) {
            strides[i] = stride;
            stride *= Math.max(sizes[i], 1);
        }
        return strides;
    }

    /** Returns the elements of a contiguous float32 tensor and deletes its handle. */
    static float[] take(long tensor) {
        if (!StableAbi.isContiguous(tensor) || StableAbi.dtype(tensor) != FLOAT) {
            throw new IllegalArgumentException("Not a contiguous float32 tensor");
        }
        float[] values = MemorySegment.ofAddress(StableAbi.dataPointer(tensor))
                .reinterpret(4 * StableAbi.numel(tensor))
                .toArray(JAVA_FLOAT);
        StableAbi.delete(tensor);
        return values;
    }

    /** The same for int32 elements. */
    static int[] takeInts(long tensor) {
        int[] values = MemorySegment.ofAddress(StableAbi.dataPointer(tensor))
                .reinterpret(4 * StableAbi.numel(tensor))
                .toArray(JAVA_INT);
        StableAbi.delete(tensor);
        return values;
    }

    /** Returns the elements of a JavaCPP float32 tensor. */
    static float[] values(Tensor tensor) {
        return take(StableAbi.newHandle(tensor.contiguous().address()));
    }
}
