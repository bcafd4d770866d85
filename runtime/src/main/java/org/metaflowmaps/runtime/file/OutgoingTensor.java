package org.metaflowmaps.runtime.file;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.function.Supplier;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/** A tensor to be written to a file: known by name, type and shape before its values are needed. */
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
     * Hands the elements over: little-endian, dense, the last dimension fastest.
     *
     * @param sink is called once, and done with the memory when it returns
     */
    void read(Sink sink) throws IOException;

    /** Takes a tensor's bytes. */
    @FunctionalInterface
    interface Sink {
        /** Takes memory that is valid during the call. */
        void accept(MemorySegment bytes) throws IOException;
    }

    /**
     * A tensor whose values are made when they are written, and freed at once, so that a file larger than the memory can be
     * written tensor by tensor.
     *
     * @param name its name in the file
     * @param dtype the type it will have
     * @param shape the shape it will have
     * @param values makes the tensor, on any device, in a scope that is open for it
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
                            "tensor " + name + " was announced as " + dtype + shape + " and came as " + tensor);
                }
                sink.accept(tensor.segment());
            }
        }
    }
}
