package org.metaflowmaps.runtime.file;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Shape;

/**
 * A NumPy array in Java's memory, without tensors, so that any thread may read one.
 *
 * @param dtype the elements' type: uint8, int32, int64, float32 or float64
 * @param shape the sizes
 * @param data the elements, little-endian, contiguous, in row-major order
 */
public record NpyArray(DType dtype, Shape shape, MemorySegment data) {
    /** Checks that the memory has the array's size. */
    public NpyArray {
        long expected = Math.multiplyExact(dtype.bytes(), shape.numel());
        if (data.byteSize() != expected) {
            throw new IllegalArgumentException(
                    "an array of " + dtype + shape + " was given " + data.byteSize() + " bytes, expected " + expected);
        }
    }

    /**
     * Parses the content of a {@code .npy} file of {@code numpy.save}.
     *
     * @param file its name, for messages
     * @param content the whole file; not copied
     * @throws NpzException if it is damaged, in Fortran's order or of another type
     */
    public static NpyArray of(Path file, byte[] content) throws IOException {
        NpyHeader header = NpyHeader.read(file.toString(), new ByteArrayInputStream(content));
        long left = content.length - header.bytes();
        if (left != header.dataBytes()) {
            throw new NpzException(
                    file.toString(),
                    "the array of " + header.dtype() + " " + header.shape() + " has " + left + " bytes",
                    header.dataBytes() + ": the file is damaged");
        }
        return new NpyArray(
                header.dtype(), header.shape(), MemorySegment.ofArray(content).asSlice(header.bytes()));
    }
}
