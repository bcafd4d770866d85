package org.metaflowmaps.runtime.file;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.zip.CRC32;
import java.util.zip.CheckedInputStream;
import java.util.zip.ZipException;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * An array of a NumPy archive, read from its first row to its last, so that memory does not grow with the array.
 *
 * <p>Close it before its file. One thread at a time.
 */
public final class NpzArray implements AutoCloseable {
    private static final int BLOCK = 1 << 16;

    private final String name;
    private final InputStream in;
    private final NpyHeader header;
    private final long checksum;
    private final CRC32 found = new CRC32();
    private long left;

    /**
     * Reads the header.
     *
     * @param name of file and array, for messages
     * @param in the entry's content, closed with this object
     * @param size of the content in bytes, header included
     * @param checksum of the content
     */
    NpzArray(String name, InputStream in, long size, long checksum) throws IOException {
        this.name = name;
        this.in = in;
        this.checksum = checksum;
        InputStream counted = new CheckedInputStream(in, found);
        try {
            this.header = NpyHeader.read(name, counted);
        } catch (ZipException | EOFException e) {
            throw damaged(e);
        }
        this.left = header.dataBytes();
        if (header.bytes() + left != size) {
            throw new NpzException(
                    name,
                    "the array of " + header.dtype() + " " + header.shape() + " has " + (size - header.bytes())
                            + " bytes",
                    left + ": the file is damaged");
        }
    }

    /** Returns the element type. */
    public DType dtype() {
        return header.dtype();
    }

    /** Returns the CRC-32 of the array with its header, as the archive states it. */
    public long checksum() {
        return checksum;
    }

    /** Returns the shape of the whole array. */
    public Shape shape() {
        return header.shape();
    }

    /**
     * Reads the whole array; call it before any other read.
     *
     * @return a tensor on the CPU, in the innermost open scope
     * @throws IOException if the file is damaged or cannot be read
     */
    public Tensor readAll() throws IOException {
        if (left != header.dataBytes()) {
            throw new IllegalStateException(name + ": rows were read before: open the array again");
        }
        return read(header.shape());
    }

    /**
     * Reads the next rows.
     *
     * @param rows the largest number of rows to read, at least 1
     * @return (rows, ...) on the CPU, in the innermost open scope; fewer at the end, and no rows after it
     * @throws IOException if the file is damaged or cannot be read
     * @throws IllegalArgumentException if the array has no dimension, or {@code rows} is below 1
     */
    public Tensor next(long rows) throws IOException {
        if (rows < 1 || header.shape().dim() == 0) {
            throw new IllegalArgumentException(name + ": " + rows + " rows of an array of shape " + header.shape()
                    + ", expected at least 1 row of an array with dimensions");
        }
        long[] sizes = new long[header.shape().dim()];
        long row = header.dtype().bytes();
        for (int i = 1; i < sizes.length; i++) {
            sizes[i] = header.shape().size(i);
            row *= sizes[i];
        }
        sizes[0] = row == 0 ? 0 : Math.min(rows, left / row);
        return read(Shape.of(sizes));
    }

    private Tensor read(Shape shape) throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            Tensor tensor = Torch.empty(header.dtype(), Device.CPU, shape);
            long bytes = Math.multiplyExact(header.dtype().bytes(), shape.numel());
            if (bytes > 0) {
                fill(tensor.segment(), bytes);
            }
            return scope.keep(tensor);
        }
    }

    private void fill(MemorySegment to, long bytes) throws IOException {
        byte[] block = new byte[(int) Math.min(BLOCK, bytes)];
        try {
            for (long at = 0; at < bytes; ) {
                int read = in.readNBytes(block, 0, (int) Math.min(block.length, bytes - at));
                if (read == 0) {
                    throw new NpzException(name, "the array ends too early", "a whole one: the file is damaged");
                }
                found.update(block, 0, read);
                MemorySegment.copy(block, 0, to, ValueLayout.JAVA_BYTE, at, read);
                at += read;
            }
        } catch (ZipException | EOFException e) {
            throw damaged(e);
        }
        left -= bytes;
        if (left == 0 && found.getValue() != checksum) {
            throw new NpzException(name, "the array's checksum is wrong", "a whole file: copy it again");
        }
    }

    private NpzException damaged(IOException cause) {
        return new NpzException(name, "the array cannot be unpacked (" + cause + ")", "a whole file", cause);
    }

    @Override
    public void close() throws IOException {
        in.close();
    }
}
