package org.metaflowmaps.runtime;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.ref.Reference;
import java.util.Arrays;
import java.util.function.Supplier;
import org.bytedeco.pytorch.DoubleOptional;
import org.bytedeco.pytorch.LongOptional;
import org.bytedeco.pytorch.T_TensorTensorTensor_T;
import org.bytedeco.pytorch.T_TensorTensor_T;
import org.bytedeco.pytorch.TensorOptional;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.bindings.Operator;
import org.metaflowmaps.bindings.StableAbi;

/**
 * Factories of tensors, and operations on several tensors, under PyTorch's names.
 *
 * <p>Results belong to the innermost open {@link TensorScope}; if libtorch rejects an operation, a
 * {@link TensorException} is thrown. Any thread may call these methods; for operands that another thread frees see
 * {@link Tensor}.
 */
public final class Torch {
    /** libtorch has one CPU and accepts no index for it. */
    private static final int ANY_INDEX = -1;

    /** libtorch's code of the mean reduction, and its default ignored label, which no class has. */
    private static final long MEAN = 1;

    private static final long NO_IGNORED_LABEL = -100;

    private static final Operator FUSED_ADAMW = Operator.of("aten::_fused_adamw_", "tensor_lr", 15, 0);
    private static final Operator BILINEAR_ANTIALIASED = Operator.of("aten::_upsample_bilinear2d_aa", "", 5, 1);
    private static final Operator BICUBIC_ANTIALIASED = Operator.of("aten::_upsample_bicubic2d_aa", "", 5, 1);
    private static final Operator BILINEAR = Operator.of("aten::upsample_bilinear2d", "", 5, 1);
    private static final Operator BICUBIC = Operator.of("aten::upsample_bicubic2d", "", 5, 1);
    private static final Operator SOFTMAX_BACKWARD = Operator.of("aten::_softmax_backward_data", "", 4, 1);

    private Torch() {}

    static Tensor run(String operation, Supplier<org.bytedeco.pytorch.Tensor> body, Tensor... operands) {
        try (ThreadState call = ThreadState.enter(operands)) {
            return Tensor.adopt(body.get());
        } catch (RuntimeException e) {
            throw TensorException.of(operation, e, operands);
        }
    }

    // ---- from nothing ----

    /** Zeros of that shape. */
    public static Tensor zeros(DType type, Device device, long... shape) {
        Operands.shape("zeros", shape);
        return run("zeros", () -> torch.zeros(shape, Handles.options(type, device)));
    }

    /** Zeros of that shape. */
    public static Tensor zeros(DType type, Device device, Shape shape) {
        return zeros(type, device, Operands.present("zeros", "shape", shape).toArray());
    }

    /** Float32 zeros of that shape on the CPU. */
    public static Tensor zeros(long... shape) {
        return zeros(DType.FLOAT32, Device.CPU, shape);
    }

    /** Uninitialised memory of that shape. */
    public static Tensor empty(DType type, Device device, long... shape) {
        Operands.shape("empty", shape);
        return run("empty", () -> torch.empty(shape, Handles.options(type, device), Handles.NO_FORMAT));
    }

    /** As {@link #empty(DType, Device, long...)}. */
    public static Tensor empty(DType type, Device device, Shape shape) {
        return empty(type, device, Operands.present("empty", "shape", shape).toArray());
    }

    /** A tensor of that shape filled with one value. */
    public static Tensor full(double value, DType type, Device device, long... shape) {
        Operands.shape("full", shape);
        return run(
                "full",
                () -> Handles.withScalar(value, scalar -> torch.full(shape, scalar, Handles.options(type, device))));
    }

    /** Zeros of the shape, type and device of another tensor. */
    public static Tensor zerosLike(Tensor like) {
        return zeros(like.dtype(), like.device(), like.shape().toArray());
    }

    /** Ones of the shape, type and device of another tensor. */
    public static Tensor onesLike(Tensor like) {
        return full(1, like.dtype(), like.device(), like.shape().toArray());
    }

    /** {@code count} evenly spaced values from {@code start} to {@code end}, both included; float32 on the CPU. */
    public static Tensor linspace(double start, double end, long count) {
        return run(
                "linspace",
                () -> Handles.withScalar(
                        start,
                        first -> Handles.withScalar(
                                end,
                                last -> torch.linspace(
                                        first, last, count, Handles.options(DType.FLOAT32, Device.CPU)))));
    }

    /** 0, 1, …, end - 1 as int64 on the CPU. */
    public static Tensor arange(long end) {
        return arange(end, Device.CPU);
    }

    /** 0, 1, …, end - 1 as int64, made on the device, so that the host need not wait for a copy. */
    public static Tensor arange(long end, Device device) {
        return run(
                "arange",
                () -> Handles.withScalar(
                        (double) end, last -> torch.arange(last, Handles.options(DType.INT64, device))));
    }

    // ---- from Java ----

    /** Float32 values in row-major order, copied. Without a shape: one dimension. */
    public static Tensor of(float[] values, long... shape) {
        return copy(
                MemorySegment.ofArray(Operands.present("of", "values", values)), DType.FLOAT32, values.length, shape);
    }

    /** Float64 values in row-major order, copied. Without a shape: one dimension. */
    public static Tensor of(double[] values, long... shape) {
        return copy(
                MemorySegment.ofArray(Operands.present("of", "values", values)), DType.FLOAT64, values.length, shape);
    }

    /** Int64 values in row-major order, copied. Without a shape: one dimension. */
    public static Tensor of(long[] values, long... shape) {
        return copy(MemorySegment.ofArray(Operands.present("of", "values", values)), DType.INT64, values.length, shape);
    }

    /** A float32 scalar (shape {}) on the CPU. */
    public static Tensor scalar(double value) {
        return full(value, DType.FLOAT32, Device.CPU);
    }

    private static Tensor copy(MemorySegment values, DType type, int count, long[] shape) {
        long[] sizes = Operands.present("of", "shape", shape).length == 0 ? new long[] {count} : shape;
        if (Shape.of(sizes).numel() != count) {
            throw new IllegalArgumentException(count + " values do not fill shape " + Arrays.toString(sizes));
        }
        Tensor tensor = empty(type, Device.CPU, sizes);
        if (count > 0) {
            MemorySegment.copy(
                    values,
                    0,
                    MemorySegment.ofAddress(StableAbi.dataPointer(tensor.handle()))
                            .reinterpret(values.byteSize()),
                    0,
                    values.byteSize());
        }
        return tensor;
    }

    /**
     * Returns a tensor over Java's memory, without a copy: Java and libtorch see each other's writes.
     *
     * <p>The segment stays reachable until this tensor and every view of it are freed, so memory of
     * {@link Arena#ofAuto()} stays valid that long. The caller must keep any other arena open that long, because
     * libtorch cannot detect that it closes.
     *
     * @param memory writable off-heap memory of exactly the tensor's size, aligned to its elements, in row-major order
     * @param type how to read the elements
     * @param shape the sizes
     * @return a CPU tensor in the innermost open scope (C function {@code torch_from_blob})
     * @throws IllegalArgumentException for heap memory, read-only memory ({@link #copyOf} takes both), a wrong size or
     *     a misaligned address
     * @throws IllegalStateException if the memory's arena is closed
     */
    public static Tensor of(MemorySegment memory, DType type, long... shape) {
        Operands.present("of", "memory", memory);
        Operands.present("of", "type", type);
        return of(memory, new Lent(memory), type, shape).showing(memory);
    }

    /** Does nothing: a pending deleter keeps the memory reachable. */
    private record Lent(MemorySegment memory) implements Runnable {
        @Override
        public void run() {}
    }

    /**
     * Copies elements from Java to new memory.
     *
     * @param memory memory of any kind, also read-only or on the heap, of exactly the tensor's size, in row-major order
     *     and the machine's byte order
     * @param type how to read the elements
     * @param shape the sizes
     * @return a CPU tensor in the innermost open scope
     * @throws IllegalArgumentException for a wrong size
     * @throws IllegalStateException if the memory's arena is closed, or belongs to another thread
     */
    public static Tensor copyOf(MemorySegment memory, DType type, long... shape) {
        requireSize(memory, type, shape);
        Tensor tensor = empty(type, Device.CPU, shape);
        if (memory.byteSize() > 0) {
            tensor.borrow("copyOf").copyFrom(memory);
        }
        return tensor;
    }

    private static void requireSize(MemorySegment memory, DType type, long[] shape) {
        Operands.present("of", "shape", shape);
        Operands.present("of", "type", type);
        Operands.present("of", "memory", memory);
        long expected = Math.multiplyExact(Shape.of(shape).numel(), type.bytes());
        if (memory.byteSize() != expected) {
            throw new IllegalArgumentException("memory of " + memory.byteSize() + " bytes for " + type
                    + Arrays.toString(shape) + ", which needs exactly " + expected + ": pass a slice of that size");
        }
    }

    /**
     * As {@link #of(MemorySegment, DType, long...)}, with an action that releases the memory.
     *
     * @param memory as there; the caller keeps it valid until the action runs
     * @param released runs once, on any thread: when the last tensor on the memory is freed, or before this method
     *     throws
     * @param type how to read the elements
     * @param shape the sizes
     * @return a CPU tensor in the innermost open scope (C function {@code torch_from_blob})
     * @throws IllegalArgumentException for memory that cannot be used, as there
     * @throws IllegalStateException if the memory's arena is closed
     */
    public static Tensor of(MemorySegment memory, Runnable released, DType type, long... shape) {
        Operands.present("of", "released", released);
        boolean lent = false;
        try {
            TensorScope.innermost(); // throws before libtorch gets the memory
            Operands.present("of", "type", type);
            requireUsable(Operands.present("of", "memory", memory), type, shape);
            long handle;
            if (memory.byteSize() == 0) {
                // There is no address: libtorch runs no action for it.
                handle = StableAbi.fromBlob(
                        memory, shape, Shape.of(shape).strides(), type.code(), Device.Type.CPU.code(), ANY_INDEX);
            } else {
                handle = StableAbi.fromBlob(
                        memory,
                        shape,
                        Shape.of(shape).strides(),
                        type.code(),
                        Device.Type.CPU.code(),
                        ANY_INDEX,
                        released);
                lent = true;
            }
            return fromHandle(handle);
        } finally {
            if (!lent) {
                released.run();
            }
        }
    }

    private static void requireUsable(MemorySegment memory, DType type, long[] shape) {
        if (!memory.isNative()) {
            throw new IllegalArgumentException(
                    "a tensor cannot use heap memory, which the garbage collector moves: allocate the "
                            + "segment from an Arena, or copy with Torch.copyOf(MemorySegment, ...)");
        }
        if (memory.isReadOnly()) {
            throw new IllegalArgumentException(
                    "a tensor cannot use a read-only segment, because libtorch may write to it: copy with "
                            + "Torch.copyOf(MemorySegment, ...)");
        }
        requireSize(memory, type, shape);
        if (memory.address() % type.bytes() != 0) {
            throw new IllegalArgumentException("memory at an address that is not a multiple of " + type.bytes()
                    + ", the size of " + type + ": align the allocation");
        }
        if (!memory.scope().isAlive()) {
            throw new IllegalStateException(
                    "the memory was freed: its arena is closed; keep the arena open as long as the tensor");
        }
    }

    /** Takes ownership of a handle of the stable C ABI, a pointer to the C++ object that JavaCPP wraps. */
    static Tensor fromHandle(long handle) {
        try {
            return Tensor.adopt(new org.bytedeco.pytorch.Tensor(new Borrowed(handle)));
        } finally {
            StableAbi.delete(handle);
        }
    }

    /** A JavaCPP tensor for a foreign handle: it frees nothing, and is only copied from. */
    private static final class Borrowed extends org.bytedeco.pytorch.Tensor {
        @SuppressWarnings("this-escape")
        Borrowed(long handle) {
            super((org.bytedeco.javacpp.Pointer) null);
            address = handle;
        }
    }

    // ---- several tensors ----

    /** Returns a native list, which holds its own references to the tensors. */
    static TensorVector vector(Tensor... tensors) {
        TensorVector vector = new TensorVector(tensors.length);
        try (ThreadState call = ThreadState.enter(tensors)) {
            for (int i = 0; i < tensors.length; i++) {
                vector.put(i, tensors[i].unwrap());
            }
            return vector;
        } catch (RuntimeException | Error e) {
            vector.close();
            throw e;
        }
    }

    /** Concatenates tensors along a dimension. */
    public static Tensor cat(long dim, Tensor... tensors) {
        Operands.list("cat", tensors);
        try (TensorVector all = vector(tensors)) {
            return run("cat", () -> torch.cat(all, dim), tensors);
        }
    }

    /** Stacks tensors along a new dimension. */
    public static Tensor stack(long dim, Tensor... tensors) {
        Operands.list("stack", tensors);
        try (TensorVector all = vector(tensors)) {
            return run("stack", () -> torch.stack(all, dim), tensors);
        }
    }

    /** {@code yes} where the mask (bool) is true, {@code no} elsewhere. */
    public static Tensor where(Tensor mask, Tensor yes, Tensor no) {
        return run("where", () -> torch.where(mask.unwrap(), yes.unwrap(), no.unwrap()), mask, yes, no);
    }

    /**
     * x·Wᵀ + b; in bfloat16 under {@link Autocast}, by {@link OneDnn} where it may.
     *
     * @param input (…, in)
     * @param weight (out, in)
     * @param bias (out)
     * @return (…, out)
     */
    public static Tensor linear(Tensor input, Tensor weight, Tensor bias) {
        if (bias != null && OneDnn.computes(input, weight, bias)) {
            return OneDnn.compute(input, weight, bias, false);
        }
        return run(
                "linear",
                () -> {
                    try (TensorOptional offset = new TensorOptional(bias.unwrap())) {
                        return torch.linear(input.unwrap(), weight.unwrap(), offset);
                    }
                },
                input,
                weight,
                bias);
    }

    /**
     * x·Wᵀ; in bfloat16 under {@link Autocast}, by {@link OneDnn} where it may.
     *
     * @param input (…, in)
     * @param weight (out, in)
     * @return (…, out)
     */
    public static Tensor linear(Tensor input, Tensor weight) {
        if (OneDnn.computes(input, weight, null)) {
            return OneDnn.compute(input, weight, null, false);
        }
        return run("linear", () -> torch.linear(input.unwrap(), weight.unwrap()), input, weight);
    }

    /**
     * Cross-correlation with stride 1.
     *
     * @param input (batch, in, height, width)
     * @param weight (out, in, rows, columns)
     * @param bias (out)
     * @param padding zeros added at each edge
     * @return (batch, out, height + 2·padding - rows + 1, width + 2·padding - columns + 1)
     */
    public static Tensor conv2d(Tensor input, Tensor weight, Tensor bias, long padding) {
        return run(
                "conv2d",
                () -> {
                    try (TensorOptional offset = new TensorOptional(bias.unwrap())) {
                        return torch.conv2d(
                                input.unwrap(),
                                weight.unwrap(),
                                offset,
                                new long[] {1},
                                new long[] {padding},
                                new long[] {1},
                                1);
                    }
                },
                input,
                weight,
                bias);
    }

    /**
     * Cross-correlation, in groups of channels that do not mix.
     *
     * @param input (batch, in, height, width)
     * @param weight (out, in / groups, rows, columns)
     * @param bias (out), or null for none
     * @param stride steps down and to the right, each at least 1
     * @param padding zeros added above and below, and left and right
     * @param groups at least 1, a divisor of both numbers of channels
     * @return (batch, out, (height + 2·padding - rows) / stride + 1, the same for the width), rounded down
     * @throws IllegalArgumentException for strides, paddings or groups out of range
     */
    public static Tensor conv2d(
            Tensor input, Tensor weight, @Nullable Tensor bias, long[] stride, long[] padding, long groups) {
        Operands.window("conv2d", input, stride, padding);
        Operands.groups(
                "conv2d", groups, Operands.present("conv2d", "weight", weight).size(0));
        return run(
                "conv2d",
                () -> {
                    try (TensorOptional offset =
                            bias == null ? new TensorOptional() : new TensorOptional(bias.unwrap())) {
                        return torch.conv2d(
                                input.unwrap(), weight.unwrap(), offset, stride, padding, new long[] {1, 1}, groups);
                    }
                },
                bias == null ? new Tensor[] {input, weight} : new Tensor[] {input, weight, bias});
    }

    /**
     * Returns the largest value of each {@code size} x {@code size} square; incomplete rows and columns are dropped.
     */
    public static Tensor maxPool2d(Tensor input, long size) {
        return run("maxPool2d", () -> torch.max_pool2d(input.unwrap(), size, size), input);
    }

    /**
     * Returns the largest value of each {@code size} x {@code size} square; padding never is the largest.
     *
     * @param input (batch, channels, height, width)
     * @param size the sides of a square
     * @param stride the step between squares, at least 1
     * @param padding positions added at each edge, at most half the size
     * @return incomplete rows and columns are dropped
     */
    public static Tensor maxPool2d(Tensor input, long size, long stride, long padding) {
        Operands.window("maxPool2d", input, new long[] {stride, stride}, new long[] {padding, padding});
        return run(
                "maxPool2d",
                () -> torch.max_pool2d(
                        input.unwrap(),
                        new long[] {size, size},
                        new long[] {stride, stride},
                        new long[] {padding, padding},
                        new long[] {1, 1},
                        false),
                input);
    }

    /**
     * Returns the mean of each {@code size} x {@code size} square.
     *
     * @param input (batch, channels, height, width)
     * @param size the sides of a square
     * @param stride the step between squares, at least 1
     * @param padding positions added at each edge, at most half the size
     * @param countPadding true if padding counts as zeros, false if the mean is that of the input's own positions
     * @return incomplete rows and columns are dropped
     */
    public static Tensor avgPool2d(Tensor input, long size, long stride, long padding, boolean countPadding) {
        Operands.window("avgPool2d", input, new long[] {stride, stride}, new long[] {padding, padding});
        return run(
                "avgPool2d",
                () -> {
                    try (LongOptional divisor = new LongOptional()) {
                        return torch.avg_pool2d(
                                input.unwrap(),
                                new long[] {size, size},
                                new long[] {stride, stride},
                                new long[] {padding, padding},
                                false,
                                countPadding,
                                divisor);
                    }
                },
                input);
    }

    /**
     * Adds a constant border to the last dimensions.
     *
     * @param input any shape
     * @param amounts pairs: before and after along the last dimension, then along the one before it, and so on; from 0
     * @param value of the border
     * @throws IllegalArgumentException for an odd number of amounts, more than the dimensions have, or negative ones
     */
    public static Tensor pad(Tensor input, long[] amounts, double value) {
        Operands.border("pad", input, amounts);
        return run(
                "pad",
                () -> Handles.withScalar(value, scalar -> torch.constant_pad_nd(input.unwrap(), amounts, scalar)),
                input);
    }

    /**
     * Group normalisation: mean 0 and variance 1 over the positions of each group of channels, then a gain and an
     * offset per channel.
     *
     * @param input (batch, channels, …)
     * @param groups a divisor of the channels
     * @param weight (channels), the gain
     * @param bias (channels), the offset
     * @param eps added to the variance
     * @throws IllegalArgumentException if groups, shapes, types or devices do not match
     */
    public static Tensor groupNorm(Tensor input, long groups, Tensor weight, Tensor bias, double eps) {
        Operands.channels("groupNorm", "weight", weight, input);
        Operands.channels("groupNorm", "bias", bias, input);
        Operands.groups("groupNorm", groups, input.size(1));
        return run(
                "groupNorm",
                () -> {
                    try (TensorOptional gain = new TensorOptional(weight.unwrap());
                            TensorOptional offset = new TensorOptional(bias.unwrap())) {
                        return torch.group_norm(input.unwrap(), groups, gain, offset, eps, true);
                    }
                },
                input,
                weight,
                bias);
    }

    /**
     * Batch normalisation by given statistics: (input - mean) / √(variance + eps) · weight + bias per channel.
     *
     * @param input (batch, channels, …)
     * @param mean (channels)
     * @param variance (channels)
     * @param weight (channels), the gain
     * @param bias (channels), the offset
     * @param eps added to the variance
     * @throws IllegalArgumentException if shapes, types or devices do not match
     */
    public static Tensor batchNorm(Tensor input, Tensor mean, Tensor variance, Tensor weight, Tensor bias, double eps) {
        Operands.channels("batchNorm", "mean", mean, input);
        Operands.channels("batchNorm", "variance", variance, input);
        Operands.channels("batchNorm", "weight", weight, input);
        Operands.channels("batchNorm", "bias", bias, input);
        return run(
                "batchNorm",
                () -> {
                    try (TensorOptional centre = new TensorOptional(mean.unwrap());
                            TensorOptional spread = new TensorOptional(variance.unwrap());
                            TensorOptional gain = new TensorOptional(weight.unwrap());
                            TensorOptional offset = new TensorOptional(bias.unwrap())) {
                        return torch.batch_norm(input.unwrap(), gain, offset, centre, spread, false, 0, eps, true);
                    }
                },
                input,
                mean,
                variance,
                weight,
                bias);
    }

    /**
     * Resizes images: each pixel is the input's pixel under its upper left corner.
     *
     * @param input (batch, channels, height, width)
     * @return (batch, channels, {@code height}, {@code width})
     */
    public static Tensor upsampleNearest2d(Tensor input, long height, long width) {
        Operands.images("upsampleNearest2d", input, height, width);
        return run("upsampleNearest2d", () -> torch.upsample_nearest2d(input.unwrap(), height, width), input);
    }

    /**
     * Resizes images by a triangular filter of the coarser grid's spacing, so that shrinking does not alias (operator
     * {@code aten::_upsample_bilinear2d_aa} without aligned corners); enlarging is plain bilinear interpolation.
     *
     * @param input (batch, channels, height, width), float32 or float64
     * @return (batch, channels, {@code height}, {@code width})
     */
    public static Tensor upsampleBilinear2d(Tensor input, long height, long width) {
        return antialiased("upsampleBilinear2d", BILINEAR_ANTIALIASED, input, height, width);
    }

    /**
     * Resizes images by Keys' cubic with a = -1/2, widened to the coarser grid's spacing (operator
     * {@code aten::_upsample_bicubic2d_aa} without aligned corners). Results may exceed the range of the input.
     *
     * @param input (batch, channels, height, width), float32 or float64
     * @return (batch, channels, {@code height}, {@code width})
     */
    public static Tensor upsampleBicubic2d(Tensor input, long height, long width) {
        return antialiased("upsampleBicubic2d", BICUBIC_ANTIALIASED, input, height, width);
    }

    /**
     * Resizes images by the two nearest pixels in each direction, also if that skips pixels: PyTorch's
     * {@code interpolate} in mode {@code bilinear} with its defaults, which are no antialiasing and no aligned corners.
     *
     * @param input (batch, channels, height, width), of a floating-point type
     * @return (batch, channels, {@code height}, {@code width})
     */
    public static Tensor interpolateBilinear2d(Tensor input, long height, long width) {
        Operands.images("interpolateBilinear2d", input, height, width);
        return resized("interpolateBilinear2d", BILINEAR, input, height, width);
    }

    /**
     * Resizes images by the four nearest pixels in each direction, also if that skips pixels, and Keys' cubic with a =
     * -3/4: PyTorch's {@code interpolate} in mode {@code bicubic} with its defaults, which are no antialiasing and no
     * aligned corners. Results may exceed the range of the input.
     *
     * @param input (batch, channels, height, width), of a floating-point type
     * @return (batch, channels, {@code height}, {@code width})
     */
    public static Tensor interpolateBicubic2d(Tensor input, long height, long width) {
        Operands.images("interpolateBicubic2d", input, height, width);
        return resized("interpolateBicubic2d", BICUBIC, input, height, width);
    }

    private static Tensor antialiased(String name, Operator operator, Tensor input, long height, long width) {
        Operands.images(name, input, height, width);
        TensorScope.innermost(); // refuses if no scope is open to hold the result
        if (width > 1) {
            return resized(name, operator, input, height, width);
        }
        // On the CPU libtorch 2.13 filters images of width 1 along the wrong dimension, so transpose them.
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(resized(name, operator, input.transpose(2, 3), width, height)
                    .transpose(2, 3));
        }
    }

    private static Tensor resized(String name, Operator operator, Tensor input, long height, long width) {
        TensorScope.innermost(); // refuses if no scope is open to hold the result
        try (ThreadState call = ThreadState.enter(input)) {
            return fromHandle(operator.call()
                    .tensor(input.handle())
                    .int64List(height, width)
                    .bool(false)
                    .none()
                    .none()
                    .invoke());
        } catch (RuntimeException e) {
            throw TensorException.of(name, e, input);
        } finally {
            Reference.reachabilityFence(input);
        }
    }

    /**
     * The mean over items of -Σ q·log softmax(logits), where q is 1 - smoothing at the label plus smoothing / classes
     * everywhere.
     *
     * @param logits (batch, classes)
     * @param labels (batch) int64
     * @param smoothing in [0, 1], 0 for plain cross-entropy
     * @return a scalar
     */
    public static Tensor crossEntropy(Tensor logits, Tensor labels, double smoothing) {
        Operands.labels("crossEntropy", labels, logits);
        return run(
                "crossEntropy",
                () -> torch.cross_entropy_loss(
                        logits.unwrap(), labels.unwrap(), Handles.NO_TENSOR, MEAN, NO_IGNORED_LABEL, smoothing),
                logits,
                labels);
    }

    /** base + left · right, broadcast, in one pass. */
    public static Tensor addcmul(Tensor base, Tensor left, Tensor right) {
        return run("addcmul", () -> torch.addcmul(base.unwrap(), left.unwrap(), right.unwrap()), base, left, right);
    }

    /**
     * What {@link #linalgEigh} returns.
     *
     * @param values (…, n), ascending
     * @param vectors (…, n, n), one orthonormal eigenvector per column
     */
    public record Eigen(Tensor values, Tensor vectors) {}

    /** The eigenvalues and eigenvectors of symmetric matrices (…, n, n); only the lower triangle is read. */
    public static Eigen linalgEigh(Tensor matrices) {
        TensorScope.innermost(); // refuses before results are made
        try (ThreadState call = ThreadState.enter(matrices);
                T_TensorTensor_T pair = torch.linalg_eigh(matrices.unwrap())) {
            return new Eigen(Tensor.wrap(pair.get0()), Tensor.wrap(pair.get1()));
        } catch (RuntimeException e) {
            throw TensorException.of("linalgEigh", e, matrices);
        }
    }

    /** The eigenvalues of symmetric matrices (…, n, n), ascending; only the lower triangle is read. */
    public static Tensor linalgEigvalsh(Tensor matrices) {
        return run("linalgEigvalsh", () -> torch.linalg_eigvalsh(matrices.unwrap()), matrices);
    }

    /** Rows of a table (rows, width) at integer indices of any shape. */
    public static Tensor embedding(Tensor table, Tensor index) {
        return run("embedding", () -> torch.embedding(table.unwrap(), index.unwrap()), table, index);
    }

    /** x·σ(x). */
    public static Tensor silu(Tensor input) {
        return run("silu", () -> torch.silu(input.unwrap()), input);
    }

    /** silu′(input) · gradient, element by element; shapes must be equal. */
    public static Tensor siluBackward(Tensor gradient, Tensor input) {
        Operands.sameShape("siluBackward", "gradient", gradient, "input", input);
        return run("siluBackward", () -> torch.silu_backward(gradient.unwrap(), input.unwrap()), gradient, input);
    }

    /** GELU, x·Φ(x) with the normal distribution function Φ. */
    public static Tensor gelu(Tensor input) {
        return run("gelu", () -> torch.gelu(input.unwrap()), input);
    }

    /** GELU with the tanh approximation. */
    public static Tensor geluTanh(Tensor input) {
        return run("geluTanh", () -> torch.gelu(input.unwrap(), "tanh"), input);
    }

    /** geluTanh′(input) · gradient, element by element; shapes must be equal. */
    public static Tensor geluTanhBackward(Tensor gradient, Tensor input) {
        Operands.sameShape("geluTanhBackward", "gradient", gradient, "input", input);
        return run(
                "geluTanhBackward",
                () -> torch.gelu_backward(gradient.unwrap(), input.unwrap(), "tanh"),
                gradient,
                input);
    }

    /** tanh′ · gradient, where {@code output} is tanh's output; shapes must be equal. */
    public static Tensor tanhBackward(Tensor gradient, Tensor output) {
        Operands.sameShape("tanhBackward", "gradient", gradient, "output", output);
        return run("tanhBackward", () -> torch.tanh_backward(gradient.unwrap(), output.unwrap()), gradient, output);
    }

    /**
     * The symmetric Jacobian of softmax along a dimension, times {@code gradient}; {@code output} is softmax's output.
     */
    public static Tensor softmaxBackward(Tensor gradient, Tensor output, long dim) {
        Operands.sameShape("softmaxBackward", "gradient", gradient, "output", output);
        Operands.sameKind("softmaxBackward", "gradient", gradient, "output", output);
        try (ThreadState call = ThreadState.enter(gradient, output)) {
            return fromHandle(SOFTMAX_BACKWARD
                    .call()
                    .tensor(gradient.handle())
                    .tensor(output.handle())
                    .int64(dim)
                    .scalarType(output.dtype().code())
                    .invoke());
        } catch (RuntimeException e) {
            throw TensorException.of("softmaxBackward", e, gradient, output);
        } finally {
            Reference.reachabilityFence(gradient);
            Reference.reachabilityFence(output);
        }
    }

    /**
     * What {@link #layerNorm(Tensor, double)} returns.
     *
     * @param output (…, width), mean 0 and variance 1 over the last dimension
     * @param mean (…, 1)
     * @param rstd (…, 1), 1 / √(variance + eps)
     */
    public record Normalised(Tensor output, Tensor mean, Tensor rstd) {}

    /** Layer normalisation over the last dimension, without gain or offset. */
    public static Normalised layerNorm(Tensor input, double eps) {
        long[] width = {input.size(-1)};
        TensorScope.innermost(); // refuses before results are made
        try (ThreadState call = ThreadState.enter(input);
                T_TensorTensorTensor_T results =
                        torch.native_layer_norm(input.unwrap(), width, Handles.NO_TENSOR, Handles.NO_TENSOR, eps)) {
            return new Normalised(
                    Tensor.wrap(results.get0()), Tensor.wrap(results.get1()), Tensor.wrap(results.get2()));
        } catch (RuntimeException e) {
            throw TensorException.of("layerNorm", e, input);
        }
    }

    /**
     * Layer normalisation over the last dimension, then a gain and an offset per element of it.
     *
     * @param input (…, width)
     * @param weight (width), the gain
     * @param bias (width), the offset
     * @param eps added to the variance
     * @throws IllegalArgumentException if shapes, types or devices do not match
     */
    public static Tensor layerNorm(Tensor input, Tensor weight, Tensor bias, double eps) {
        Operands.row("layerNorm", "weight", weight, input);
        Operands.row("layerNorm", "bias", bias, input);
        long[] width = {input.size(-1)};
        return run(
                "layerNorm",
                () -> {
                    try (TensorOptional gain = new TensorOptional(weight.unwrap());
                            TensorOptional offset = new TensorOptional(bias.unwrap())) {
                        return torch.layer_norm(input.unwrap(), width, gain, offset, eps, true);
                    }
                },
                input,
                weight,
                bias);
    }

    /**
     * The symmetric Jacobian of {@link #layerNorm(Tensor, double)}, times {@code gradient}.
     *
     * @param gradient of the input's shape, type and device
     * @param input the input of {@code layerNorm}
     * @param mean from {@code layerNorm}: one element per row
     * @param rstd from {@code layerNorm}
     * @throws IllegalArgumentException if shapes, types or devices do not match
     */
    public static Tensor layerNormBackward(Tensor gradient, Tensor input, Tensor mean, Tensor rstd) {
        Operands.sameShape("layerNormBackward", "gradient", gradient, "input", input);
        Operands.sameKind("layerNormBackward", "gradient", gradient, "input", input);
        Operands.statistic("layerNormBackward", "mean", mean, input);
        Operands.statistic("layerNormBackward", "rstd", rstd, input);
        TensorScope.innermost(); // refuses if no scope is open to hold the result
        // libtorch requires that gradient, mean and rstd are contiguous.
        if (gradient.isContiguous() && mean.isContiguous() && rstd.isContiguous()) {
            return rowsBackward(gradient, input, mean, rstd);
        }
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(rowsBackward(gradient.contiguous(), input, mean.contiguous(), rstd.contiguous()));
        }
    }

    private static Tensor rowsBackward(Tensor gradient, Tensor input, Tensor mean, Tensor rstd) {
        long[] width = {input.size(-1)};
        try (ThreadState call = ThreadState.enter(gradient, input, mean, rstd);
                T_TensorTensorTensor_T results = torch.native_layer_norm_backward(
                        gradient.unwrap(),
                        input.unwrap(),
                        width,
                        mean.unwrap(),
                        rstd.unwrap(),
                        Handles.NO_TENSOR,
                        Handles.NO_TENSOR,
                        Handles.ONLY_FIRST)) {
            return Tensor.wrap(results.get0());
        } catch (RuntimeException e) {
            throw TensorException.of("layerNormBackward", e, gradient, input);
        }
    }

    /**
     * softmax(q·kᵀ/√d)·v by libtorch's fused kernels, if available.
     *
     * @param query (batch, heads, tokens, d)
     * @param key (batch, heads, keys, d)
     * @param value (batch, heads, keys, d)
     * @return (batch, heads, tokens, d)
     */
    public static Tensor scaledDotProductAttention(Tensor query, Tensor key, Tensor value) {
        Operands.attention("scaledDotProductAttention", query, key, value);
        AttentionBackend.prepare(query.device());
        return preferredAttention(query, key, value);
    }

    /** {@link #scaledDotProductAttention(Tensor, Tensor, Tensor)} by the backend that libtorch prefers now. */
    static Tensor preferredAttention(Tensor query, Tensor key, Tensor value) {
        return run(
                "scaledDotProductAttention",
                () -> torch.scaled_dot_product_attention(query.unwrap(), key.unwrap(), value.unwrap()),
                query,
                key,
                value);
    }

    /**
     * As {@link #scaledDotProductAttention(Tensor, Tensor, Tensor)}, where a token attends only to those keys that the
     * mask shows.
     *
     * @param query (batch, heads, tokens, d)
     * @param key (batch, heads, keys, d)
     * @param value (batch, heads, keys, d)
     * @param mask (batch, heads, tokens, keys) bool, where any size may be 1: true where a token may attend to a key, at
     *     least to one
     * @return (batch, heads, tokens, d)
     * @throws IllegalArgumentException if shapes, types or devices do not match
     */
    public static Tensor scaledDotProductAttention(Tensor query, Tensor key, Tensor value, Tensor mask) {
        Operands.attention("scaledDotProductAttention", query, key, value);
        Operands.attentionMask("scaledDotProductAttention", mask, query, key);
        AttentionBackend.prepare(query.device());
        return run(
                "scaledDotProductAttention",
                () -> {
                    try (TensorOptional shown = new TensorOptional(mask.unwrap());
                            DoubleOptional scale = new DoubleOptional()) {
                        return torch.scaled_dot_product_attention(
                                query.unwrap(), key.unwrap(), value.unwrap(), shown, 0, false, scale, false);
                    }
                },
                query,
                key,
                value,
                mask);
    }

    /**
     * What {@link #fusedAttention} returns.
     *
     * @param output (batch, heads, tokens, d)
     * @param logsumexp of the scaled scores over keys, natural logarithm, (batch, heads, tokens), float32 or float64,
     *     without gradients; null if libtorch computes this attention from single operators
     */
    public record Attention(Tensor output, @Nullable Tensor logsumexp) {}

    /**
     * As {@link #scaledDotProductAttention(Tensor, Tensor, Tensor)}, with the log-sum-exp that its fused operator
     * computes; value and gradients are the same. {@link Autocast} does not convert the operands.
     *
     * @param query (batch, heads, tokens, d)
     * @param key (batch, heads, keys, d)
     * @param value (batch, heads, keys, d)
     * @throws IllegalArgumentException if shapes do not match
     */
    public static Attention fusedAttention(Tensor query, Tensor key, Tensor value) {
        return FusedAttention.of(query, key, value);
    }

    /**
     * As {@link #scaledDotProductAttention(Tensor, Tensor, Tensor)}, where each token attends only to itself and those
     * before it.
     *
     * @param query (batch, heads, tokens, d)
     * @param key (batch, heads, tokens, d)
     * @param value (batch, heads, tokens, d)
     * @return (batch, heads, tokens, d)
     */
    public static Tensor causalAttention(Tensor query, Tensor key, Tensor value) {
        Operands.attention("causalAttention", query, key, value);
        AttentionBackend.prepare(query.device());
        return run(
                "causalAttention",
                () -> {
                    try (TensorOptional none = new TensorOptional();
                            DoubleOptional scale = new DoubleOptional()) {
                        return torch.scaled_dot_product_attention(
                                query.unwrap(), key.unwrap(), value.unwrap(), none, 0, true, scale, false);
                    }
                },
                query,
                key,
                value);
    }

    /**
     * The constant numbers of Adam steps.
     *
     * @param beta1 decay of the mean
     * @param beta2 decay of the mean square
     * @param weightDecay decoupled decay
     * @param eps added to the root of the mean square
     */
    public record AdamRates(double beta1, double beta2, double weightDecay, double eps) {
        /** Checks the ranges. */
        public AdamRates {
            boolean finite = Double.isFinite(weightDecay) && Double.isFinite(eps);
            if (!finite || eps < 0 || !(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1)) {
                throw new IllegalArgumentException("Adam with beta1 " + beta1 + ", beta2 " + beta2 + ", weight decay "
                        + weightDecay + ", eps " + eps + ": expected finite numbers, betas in [0, 1), eps from 0");
            }
        }
    }

    /**
     * The changing numbers of an Adam step, on the device of the values, so that no step waits for the host.
     *
     * @param step a float32 scalar: the number of this step, from 1
     * @param learningRate a scalar: float32; on the CPU also float64
     * @param skip a float32 scalar: 1 changes nothing, 0 takes the step
     */
    public record AdamScalars(Tensor step, Tensor learningRate, Tensor skip) {}

    /**
     * One AdamW step in place over flat buffers (operator {@code aten::_fused_adamw_.tensor_lr}).
     *
     * @param values changed in place; float32 (or float64 on the CPU) and contiguous like the three after it
     * @param gradients read
     * @param average changed in place
     * @param squareAverage changed in place
     * @throws IllegalArgumentException unless the four have one shape, type and device, the three changed buffers are
     *     different memory, and the scalars match their descriptions
     */
    public static void fusedAdamW_(
            Tensor values,
            Tensor gradients,
            Tensor average,
            Tensor squareAverage,
            AdamScalars scalars,
            AdamRates rates) {
        Operands.adam("fusedAdamW_", values, gradients, average, squareAverage, scalars);
        Tensor step = scalars.step();
        Tensor rate = scalars.learningRate();
        Tensor skip = scalars.skip();
        try (ThreadState call = ThreadState.enter(values, gradients, average, squareAverage, step, rate, skip)) {
            FUSED_ADAMW
                    .call()
                    .tensorList(values.handle())
                    .tensorList(gradients.handle())
                    .tensorList(average.handle())
                    .tensorList(squareAverage.handle())
                    .tensorList()
                    .tensorList(step.handle())
                    .tensor(rate.handle())
                    .float64(rates.beta1())
                    .float64(rates.beta2())
                    .float64(rates.weightDecay())
                    .float64(rates.eps())
                    .bool(false)
                    .bool(false)
                    .optionalTensor(0)
                    .optionalTensor(skip.handle())
                    .invokeVoid();
        } catch (RuntimeException e) {
            throw TensorException.of("fusedAdamW_", e, values, gradients, average, squareAverage, step, rate, skip);
        } finally {
            Reference.reachabilityFence(values);
            Reference.reachabilityFence(gradients);
            Reference.reachabilityFence(average);
            Reference.reachabilityFence(squareAverage);
            Reference.reachabilityFence(scalars);
        }
    }
}
