package org.metaflowmaps.runtime.kernel;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.bindings.StableAbi;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.JavaCpp;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;

/** What kernels need to know of tensors, and checks of them. */
final class Operand {
    private Operand() {}

    /** The address of a tensor's first element, on its device. */
    static long address(Tensor tensor) {
        return StableAbi.dataPointer(JavaCpp.unwrap(tensor).address());
    }

    /** The strides in elements. */
    static long[] strides(Tensor tensor) {
        return StableAbi.strides(JavaCpp.unwrap(tensor).address());
    }

    /** Returns true for float32 and bfloat16, the types that kernels are compiled for. */
    static boolean isElement(DType type) {
        return type == DType.FLOAT32 || type == DType.BFLOAT16;
    }

    /** The name of a type in kernels. */
    static String element(DType type) {
        return type == DType.BFLOAT16 ? "bf16" : "float";
    }

    /** Returns true if four elements can be loaded at once from each row of a tensor whose width is a multiple of 4. */
    static boolean isAligned(@Nullable Tensor tensor) {
        return tensor == null || address(tensor) % (4L * tensor.dtype().bytes()) == 0;
    }

    /** Converts a tensor of two bytes per element to float32; returns others unchanged. */
    static Tensor wide(Tensor tensor) {
        return tensor.dtype().bytes() == 2 ? tensor.to(DType.FLOAT32) : tensor;
    }

    /** Refuses a tensor of another shape or device. */
    static void check(String operation, String name, @Nullable Tensor tensor, Device device, Shape shape) {
        if (tensor == null) {
            return;
        }
        if (!tensor.shape().equals(shape) || !tensor.device().equals(device)) {
            throw new IllegalArgumentException(
                    operation + ": " + name + " is " + tensor + ", expected shape " + shape + " on " + device);
        }
    }

    /** Refuses a tensor of another shape, type or device. */
    static void checkLike(String operation, String name, @Nullable Tensor tensor, Tensor like) {
        check(operation, name, tensor, like.device(), like.shape());
        if (tensor != null && tensor.dtype() != like.dtype()) {
            throw new IllegalArgumentException(
                    operation + ": " + name + " is " + tensor + ", expected " + like.dtype());
        }
    }

    /** Refuses a tensor with gaps or in another order. */
    static void checkContiguous(String operation, String name, Tensor tensor) {
        if (!tensor.isContiguous()) {
            throw new IllegalArgumentException(
                    operation + ": " + name + " is " + tensor + ", not contiguous: call contiguous() first");
        }
    }

    /** The number of groups of {@code size} that hold {@code count} things. */
    static int groups(long count, long size) {
        return Math.toIntExact((count + size - 1) / size);
    }
}
