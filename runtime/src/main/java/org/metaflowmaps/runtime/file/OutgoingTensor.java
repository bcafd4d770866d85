package org.metaflowmaps.runtime.file;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.function.Supplier;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/** A tensor to write to a file; its name, type and shape are known before its values. */
public sealed interface OutgoingTensor permits SafetensorsWriter.Item, OutgoingTensor.Deferred {
    /** Its name in the file. */
    String name();

    /** The elements' type. */
    DType dtype();

    /** The sizes, outermost first. */
    Shape shape();

    /** The number of elements times the size of one. */
    long byteSize();

    /**
     * Passes the elements to a sink: little-endian, contiguous, in row-major order.
     *
     * @param sink called once; does not use the memory after it returns
     */
    void read(Sink sink) throws IOException;

    /** Takes a tensor's bytes. */
    @FunctionalInterface
    interface Sink {
        /** Takes memory that is valid during the call. */
        void accept(MemorySegment bytes) throws IOException;
    }

    /**
     * Returns a tensor whose values are made when they are written and freed at once, so that a file may be larger than
     * memory.
     *
     * @param name its name in the file
     * @param dtype its element type
     * @param shape its shape
     * @param values makes the tensor, on any device, in an open scope
     */
    record Deferred(String name, DType dtype, Shape shape, Supplier<Tensor> values) implements OutgoingTensor {
        @Override
        public long byteSize() {
            return SafetensorsHeader.byteCount(dtype, shape.toArray());
        }

        @Override
        public void read(Sink sink) throws IOException {
            try (TensorScope scope = TensorScope.open()) {
                Tensor tensor = values.get().detach().to(Device.CPU).contiguous();
                if (tensor.dtype() != dtype || tensor.numel() * dtype.bytes() != byteSize()) {
                    throw new IllegalStateException(
                            "tensor " + name + " was declared as " + dtype + shape + " but is " + tensor);
                }
                sink.accept(tensor.segment());
            }
        }
    }
}
