package org.metaflowmaps.runtime.file;

import com.google.common.base.Preconditions;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.Channels;
import java.nio.file.Path;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * Writes an archive of NumPy arrays, array by array and row by row, so that memory does not grow with it; archives above
 * 4 GiB too. One thread at a time.
 */
public final class NpzWriter {
    static final String SUFFIX = ".npy";
    private static final int BLOCK = 1 << 20;

    private final ZipOutputStream zip;
    private String name = "";
    private DType type = DType.UINT8;
    private long[] shape = {0};
    /** Rows of the array that was begun, and are not written yet. */
    private long left;

    private NpzWriter(ZipOutputStream zip) {
        this.zip = zip;
    }

    /** Writes the arrays. */
    @FunctionalInterface
    public interface Body {
        /**
         * Writes the arrays in order.
         *
         * @param writer valid until this method returns
         * @throws IOException to abort; the file then stays unchanged
         */
        void write(NpzWriter writer) throws IOException;
    }

    /**
     * Writes a compressed archive that {@code numpy.load} reads; replaces the file atomically.
     *
     * @param file the archive
     * @param body writes its arrays
     * @throws IOException if the file cannot be written
     * @throws IllegalStateException if the body leaves an array unfinished
     */
    public static void write(Path file, Body body) throws IOException {
        Preconditions.checkNotNull(body, "npz: the body is null");
        AtomicFile.write(file, 0, channel -> {
            OutputStream kept = new FilterOutputStream(Channels.newOutputStream(channel)) {
                @Override
                public void write(byte[] bytes, int from, int length) throws IOException {
                    out.write(bytes, from, length);
                }

                @Override
                public void close() throws IOException {
                    // The channel's owner closes it.
                    flush();
                }
            };
            try (ZipOutputStream zipped = new ZipOutputStream(kept)) {
                NpzWriter writer = new NpzWriter(zipped);
                body.write(writer);
                writer.requireFinished("the archive ends");
            }
        });
    }

    private void requireFinished(String event) {
        if (left > 0) {
            throw new IllegalStateException(
                    "npz: " + event + ", but array " + name + " lacks " + left + " rows: write them first");
        }
    }

    /**
     * Begins an array, whose rows {@link #rows} writes.
     *
     * @param array its name
     * @param dtype uint8, int32, int64, float32 or float64
     * @param sizes its shape; the first size counts the rows
     * @throws IOException if the file cannot be written, or has an array of this name
     * @throws IllegalArgumentException for another type, or a shape without dimensions
     * @throws IllegalStateException if the last array lacks rows
     */
    public void begin(String array, DType dtype, Shape sizes) throws IOException {
        requireFinished("array " + array + " begins");
        Preconditions.checkArgument(
                sizes.dim() > 0, "npz: array %s has no dimensions, expected rows: write it as a whole", array);
        header(array, dtype, sizes);
        name = array;
        type = dtype;
        shape = new long[sizes.dim()];
        for (int i = 0; i < shape.length; i++) {
            shape[i] = sizes.size(i);
        }
        left = sizes.numel() == 0 ? 0 : shape[0];
        if (left == 0) {
            zip.closeEntry();
        }
    }

    /**
     * Writes the next rows of the array that was begun.
     *
     * @param rows of its type, and of its shape but for the first size; on any device; only read
     * @throws IOException if the file cannot be written
     * @throws IllegalArgumentException for another type or shape, or more rows than the array has
     */
    public void rows(Tensor rows) throws IOException {
        boolean fits = rows.dtype() == type && rows.dim() == shape.length && rows.size(0) <= left;
        for (int i = 1; fits && i < shape.length; i++) {
            fits = rows.size(i) == shape[i];
        }
        Preconditions.checkArgument(
                fits,
                "npz: rows %s, expected at most %s more of array %s, %s %s",
                rows,
                left,
                name,
                type,
                Shape.of(shape));
        data(rows);
        left -= rows.size(0);
        if (left == 0 && rows.size(0) > 0) {
            zip.closeEntry();
        }
    }

    /**
     * Writes a whole array.
     *
     * @param array its name
     * @param content uint8, int32, int64, float32 or float64, on any device; only read
     * @throws IOException if the file cannot be written, or has an array of this name
     * @throws IllegalArgumentException for another type
     * @throws IllegalStateException if the last array lacks rows
     */
    public void array(String array, Tensor content) throws IOException {
        requireFinished("array " + array + " begins");
        header(array, content.dtype(), content.shape());
        data(content);
        zip.closeEntry();
    }

    private void header(String array, DType dtype, Shape sizes) throws IOException {
        byte[] header = NpyHeader.written(array, dtype, sizes);
        zip.putNextEntry(new ZipEntry(array + SUFFIX));
        zip.write(header);
    }

    private void data(Tensor content) throws IOException {
        if (content.numel() == 0) {
            return;
        }
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            MemorySegment data = content.detach().to(Device.CPU).contiguous().segment();
            for (long at = 0; at < data.byteSize(); at += BLOCK) {
                long size = Math.min(BLOCK, data.byteSize() - at);
                zip.write(data.asSlice(at, size).toArray(ValueLayout.JAVA_BYTE));
            }
        }
    }
}
