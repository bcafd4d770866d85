package org.metaflowmaps.training.data;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.stream.IntStream;
import org.metaflowmaps.runtime.DType;

/** Reads labels that are in a file each. */
final class LatentLabels {
    private LatentLabels() {}

    /** Reads one label. */
    interface Reader {
        long read(int index) throws IOException;
    }

    /** Reads labels on several threads, because there may be a million of small files. */
    static long[] read(int count, Reader reader) throws IOException {
        try {
            return IntStream.range(0, count)
                    .parallel()
                    .mapToLong(index -> {
                        try {
                            return reader.read(index);
                        } catch (IOException e) {
                            throw new UncheckedIOException(String.valueOf(e.getMessage()), e);
                        }
                    })
                    .toArray();
        } catch (UncheckedIOException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    /** Returns the label in an array of one whole number. */
    static long of(Path file, DType type, MemorySegment data) throws IOException {
        boolean single = data.byteSize() == type.bytes();
        if (single && type == DType.INT64) {
            return data.get(ValueLayout.JAVA_LONG_UNALIGNED, 0);
        }
        if (single && type == DType.INT32) {
            return data.get(ValueLayout.JAVA_INT_UNALIGNED, 0);
        }
        throw new IOException(
                file + ": the label is " + type + " of " + data.byteSize() + " bytes, expected one whole number");
    }
}
