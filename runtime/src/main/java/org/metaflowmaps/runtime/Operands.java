package org.metaflowmaps.runtime;

import java.util.Arrays;
import org.metaflowmaps.bindings.StableAbi;

/**
 * Checks of arguments that libtorch does not check: with a wrong size it would read or write foreign memory.
 *
 * <p>The checks use only shapes, types, strides and devices, never values, so they never wait for a GPU.
 */
final class Operands {
    /** The largest step or border of a window; larger ones would overflow libtorch's arithmetic. */
    private static final long MOST = Integer.MAX_VALUE;

    private Operands() {}

    /** Checks the sizes of a new tensor: none negative, and their product does not overflow. */
    static long[] shape(String operation, long[] shape) {
        return sizes(operation, "shape", shape);
    }

    static long[] sizes(String operation, String name, long[] shape) {
        long count = 1;
        for (long size : present(operation, name, shape)) {
            if (size < 0) {
                throw new IllegalArgumentException(
                        operation + ": " + name + " " + Arrays.toString(shape) + " has a negative size");
            }
            count = product(operation, count, size, shape);
        }
        // The widest element has 8 bytes.
        product(operation, count, Double.BYTES, shape);
        return shape;
    }

    /** Checks sizes among which -1 is computed from the rest; their product must not overflow. */
    static long[] sizes(String operation, long[] sizes) {
        long count = 1;
        for (long size : present(operation, "shape", sizes)) {
            if (size < -1) {
                throw new IllegalArgumentException(
                        operation + ": shape " + Arrays.toString(sizes) + " has a negative size: only -1 is allowed");
            }
            count = product(operation, count, Math.abs(size), sizes);
        }
        return sizes;
    }

    /** Checks dimensions to reduce: libtorch would reduce all for an empty array, which is usually a mistake. */
    static void dims(String operation, long[] dims) {
        if (present(operation, "dims", dims).length == 0) {
            throw new IllegalArgumentException(
                    operation + ": dims is empty, expected at least one dimension: name the dimensions to reduce");
        }
    }

    private static long product(String operation, long count, long size, long[] shape) {
        try {
            return Math.multiplyExact(count, size);
        } catch (ArithmeticException e) {
            throw new IllegalArgumentException(
                    operation + ": shape " + Arrays.toString(shape)
                            + " has more elements than memory can hold: check the sizes",
                    e);
        }
    }

    /** Checks that shapes are equal, because libtorch would broadcast them or not check. */
    static void sameShape(String operation, String name, Tensor tensor, String likeName, Tensor like) {
        Shape shape = present(operation, name, tensor).shape();
        Shape expected = present(operation, likeName, like).shape();
        if (!shape.equals(expected)) {
            throw new IllegalArgumentException(operation + ": " + name + " has shape " + shape + ", expected "
                    + expected + ", the shape of " + likeName);
        }
    }

    /** Checks that element type and device are equal. */
    static void sameKind(String operation, String name, Tensor tensor, String likeName, Tensor like) {
        if (tensor.dtype() != like.dtype() || !tensor.device().equals(like.device())) {
            throw new IllegalArgumentException(operation + ": " + name + " is " + tensor + ", expected " + like.dtype()
                    + " on " + like.device() + " like " + likeName);
        }
    }

    /**
     * Checks an optimiser buffer: float32 or, on the CPU, float64; contiguous, with the shape and device of the values.
     */
    private static void buffer(String operation, String name, Tensor buffer, Tensor values) {
        DType type = present(operation, name, buffer).dtype();
        boolean fits = type == DType.FLOAT32
                || (type == DType.FLOAT64 && buffer.device().type() == Device.Type.CPU);
        if (!fits || !buffer.isContiguous()) {
            throw new IllegalArgumentException(operation + ": " + name + " is " + buffer
                    + (buffer.isContiguous() ? "" : ", not contiguous") + ", expected a contiguous float32 tensor");
        }
        sameShape(operation, name, buffer, "values", values);
        sameKind(operation, name, buffer, "values", values);
    }

    /** Checks the operands of an Adam step over flat buffers. */
    static void adam(
            String operation,
            Tensor values,
            Tensor gradients,
            Tensor average,
            Tensor squareAverage,
            Torch.AdamScalars scalars) {
        buffer(operation, "values", values, values);
        buffer(operation, "gradients", gradients, values);
        buffer(operation, "average", average, values);
        buffer(operation, "squareAverage", squareAverage, values);
        present(operation, "scalars", scalars);
        scalar(operation, "step", scalars.step(), values, false);
        scalar(
                operation,
                "learningRate",
                scalars.learningRate(),
                values,
                values.device().type() == Device.Type.CPU);
        scalar(operation, "skip", scalars.skip(), values, false);
        distinct(operation, "values", values, "average", average);
        distinct(operation, "values", values, "squareAverage", squareAverage);
        distinct(operation, "average", average, "squareAverage", squareAverage);
    }

    /** Checks for one float32 number, or float64 if allowed, on the device of the values. */
    private static void scalar(String operation, String name, Tensor scalar, Tensor values, boolean wide) {
        DType type = present(operation, name, scalar).dtype();
        boolean fits = type == DType.FLOAT32 || (wide && type == DType.FLOAT64);
        if (scalar.numel() != 1 || !fits || !scalar.device().equals(values.device())) {
            throw new IllegalArgumentException(
                    operation + ": " + name + " is " + scalar + ", expected one float32 element on " + values.device());
        }
    }

    /** Checks that buffers to be written are different memory. */
    private static void distinct(String operation, String name, Tensor written, String otherName, Tensor other) {
        try (ThreadState call = ThreadState.enter(written, other)) {
            if (written.numel() > 0
                    && StableAbi.dataPointer(written.handle()) == StableAbi.dataPointer(other.handle())) {
                throw new IllegalArgumentException(
                        operation + ": " + name + " and " + otherName + " are the same memory: pass two buffers");
            }
        }
    }

    /** Checks a normalisation's statistic: one element per row, in the input's type, or float32 for the half types. */
    static void statistic(String operation, String name, Tensor statistic, Tensor input) {
        long width = input.size(-1);
        long rows = width == 0 ? statistic.numel() : input.numel() / width;
        DType type = present(operation, name, statistic).dtype();
        boolean wide = type == DType.FLOAT32 && input.device().type() == Device.Type.CUDA;
        if (statistic.numel() != rows
                || (type != input.dtype() && !wide)
                || !statistic.device().equals(input.device())) {
            throw new IllegalArgumentException(
                    operation + ": " + name + " is " + statistic + ", expected " + rows + " elements of "
                            + input.dtype() + " on " + input.device() + ", one per row of the input " + input.shape());
        }
    }

    /** Checks for one class index per item; libtorch would read a float tensor as probabilities. */
    static void labels(String operation, Tensor labels, Tensor logits) {
        Shape given = present(operation, "labels", labels).shape();
        boolean fits =
                present(operation, "logits", logits).dim() == 2 && given.dim() == 1 && given.size(0) == logits.size(0);
        if (!fits || labels.dtype() != DType.INT64) {
            throw new IllegalArgumentException(operation + ": labels are " + labels + " for logits " + logits
                    + ", expected int64 (batch) for (batch, classes)");
        }
    }

    /** Checks images and a new size, with at least one pixel each. */
    static void images(String operation, Tensor images, long height, long width) {
        Shape shape = present(operation, "input", images).shape();
        if (shape.dim() != 4 || shape.size(2) == 0 || shape.size(3) == 0 || height < 1 || width < 1) {
            throw new IllegalArgumentException(operation + ": input is " + images + " and the new size " + height
                    + " x " + width + ", expected (batch, channels, height, width) and sizes of at least 1");
        }
        shape(operation, new long[] {shape.size(0), shape.size(1), height, width});
    }

    /** Checks a window that moves over images: strides from 1, paddings from 0, and padded sizes within memory. */
    static void window(String operation, Tensor input, long[] stride, long[] padding) {
        Shape shape = present(operation, "input", input).shape();
        present(operation, "stride", stride);
        present(operation, "padding", padding);
        boolean fits = shape.dim() == 4 && stride.length == 2 && padding.length == 2;
        for (int i = 0; fits && i < 2; i++) {
            fits = stride[i] >= 1 && padding[i] >= 0 && stride[i] <= MOST && padding[i] <= MOST;
        }
        if (!fits) {
            throw new IllegalArgumentException(operation + ": input is " + input + ", stride "
                    + Arrays.toString(stride) + ", padding " + Arrays.toString(padding)
                    + ", expected (batch, channels, height, width), two strides of at least 1 and two paddings of at"
                    + " least 0");
        }
        shape(operation, new long[] {
            shape.size(0), shape.size(1), shape.size(2) + 2 * padding[0], shape.size(3) + 2 * padding[1]
        });
    }

    /** Checks that a number of groups divides the channels. */
    static void groups(String operation, long groups, long channels) {
        if (groups < 1 || channels % groups != 0) {
            throw new IllegalArgumentException(operation + ": " + groups + " groups of " + channels
                    + " channels, expected a divisor of the channels");
        }
    }

    /** Checks for one number per channel, in the input's type and on its device. */
    static void channels(String operation, String name, Tensor vector, Tensor input) {
        Shape shape = present(operation, "input", input).shape();
        if (shape.dim() < 2) {
            throw new IllegalArgumentException(operation + ": input is " + input + ", expected (batch, channels, ...)");
        }
        vector(operation, name, vector, input, shape.size(1));
    }

    /** Checks for one number per element of the last dimension, in the input's type and on its device. */
    static void row(String operation, String name, Tensor vector, Tensor input) {
        vector(
                operation,
                name,
                vector,
                input,
                present(operation, "input", input).size(-1));
    }

    private static void vector(String operation, String name, Tensor vector, Tensor input, long size) {
        Shape shape = present(operation, name, vector).shape();
        if (shape.dim() != 1 || shape.size(0) != size) {
            throw new IllegalArgumentException(operation + ": " + name + " has shape " + shape + ", expected [" + size
                    + "] for the input " + input.shape());
        }
        sameKind(operation, name, vector, "input", input);
    }

    /** Checks a border: pairs of amounts from 0 for the last dimensions, with new sizes within memory. */
    static void border(String operation, Tensor input, long[] amounts) {
        long[] sizes = present(operation, "input", input).shape().toArray();
        present(operation, "amounts", amounts);
        boolean fits = amounts.length % 2 == 0 && amounts.length / 2 <= sizes.length;
        for (int i = 0; fits && i < amounts.length; i++) {
            fits = amounts[i] >= 0 && amounts[i] <= MOST;
            sizes[sizes.length - 1 - i / 2] += amounts[i];
        }
        if (!fits) {
            throw new IllegalArgumentException(operation + ": amounts " + Arrays.toString(amounts) + " for the input "
                    + input + ", expected two numbers of at least 0 for each of at most " + input.dim()
                    + " dimensions, the last one first");
        }
        shape(operation, sizes);
    }

    /** Checks an attention's mask: bool, (batch, heads, tokens, keys), where any size may be 1. */
    static void attentionMask(String operation, Tensor mask, Tensor query, Tensor key) {
        Shape shape = present(operation, "mask", mask).shape();
        long[] full = {query.size(0), query.size(1), query.size(2), key.size(2)};
        boolean fits = mask.dtype() == DType.BOOL && mask.device().equals(query.device()) && shape.dim() == full.length;
        for (int i = 0; fits && i < full.length; i++) {
            fits = shape.size(i) == 1 || shape.size(i) == full[i];
        }
        if (!fits) {
            throw new IllegalArgumentException(operation + ": mask is " + mask + ", expected bool on " + query.device()
                    + " of shape " + Arrays.toString(full));
        }
    }

    /** Checks queries, keys and values of attention: (batch, heads, tokens, d), with as many values as keys. */
    static void attention(String operation, Tensor query, Tensor key, Tensor value) {
        Shape q = present(operation, "query", query).shape();
        Shape k = present(operation, "key", key).shape();
        Shape v = present(operation, "value", value).shape();
        boolean fits = q.dim() == 4
                && k.dim() == 4
                && k.equals(v)
                && q.size(0) == k.size(0)
                && q.size(1) == k.size(1)
                && q.size(3) == k.size(3);
        if (!fits) {
            throw new IllegalArgumentException(operation + ": query " + q + ", key " + k + ", value " + v
                    + ", expected (batch, heads, tokens, d) and twice (batch, heads, keys, d)");
        }
    }

    /**
     * Checks sizes and strides of a view: as many of each, none negative, and the last element's offset does not
     * overflow.
     */
    static void strided(String operation, long[] size, long[] stride) {
        sizes(operation, "size", size);
        present(operation, "stride", stride);
        boolean fits = size.length == stride.length;
        try {
            long last = 0;
            for (int i = 0; fits && i < size.length; i++) {
                fits = stride[i] >= 0;
                last = Math.addExact(last, Math.multiplyExact(Math.max(0, size[i] - 1), stride[i]));
            }
            Math.multiplyExact(Math.addExact(last, 1), Double.BYTES);
        } catch (ArithmeticException e) {
            fits = false;
        }
        if (!fits) {
            throw new IllegalArgumentException(
                    operation + ": sizes " + Arrays.toString(size) + " and strides " + Arrays.toString(stride)
                            + ", expected as many strides as sizes, none negative, that stay within memory");
        }
    }

    /** Checks that no tensor of a list is null. */
    static void list(String operation, Tensor[] tensors) {
        for (int i = 0; i < present(operation, "tensors", tensors).length; i++) {
            if (tensors[i] == null) {
                throw new NullPointerException(
                        operation + ": tensor " + i + " of the " + tensors.length + " operands is null");
            }
        }
    }

    /** Returns the argument; throws if it is null. */
    static <T> T present(String operation, String name, T value) {
        if (value == null) {
            throw new NullPointerException(operation + ": " + name + " is null");
        }
        return value;
    }
}
