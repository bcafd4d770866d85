package org.metaflowmaps.training.data;

import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipException;

/**
 * Reads IDX files of unsigned bytes, the format of MNIST and similar sets, plain or compressed by gzip.
 *
 * <p>Such a file holds two zero bytes, the element type, the number of dimensions, each dimension's size as a
 * big-endian 32-bit number, and the elements. Its first two bytes, not its name, show whether it is compressed. Memory
 * grows with the file's actual contents, not its header, up to 1 GiB of elements.
 */
public final class Idx {
    /** The size limit of an array in bytes. */
    static final long MAX_BYTES = 1L << 30;

    private static final int GZIP_MAGIC = 0x1f8b;
    private static final int UNSIGNED_BYTE = 0x08;
    private static final int BUFFER = 1 << 16;

    private Idx() {}

    /**
     * Reads a file.
     *
     * @param file an IDX file, plain or compressed by gzip
     * @return its array
     * @throws IdxException if the contents are malformed, incomplete, too long or of an unsupported element type
     * @throws IOException if the file cannot be read
     */
    public static IdxArray read(Path file) throws IOException {
        try (InputStream in = Files.newInputStream(file)) {
            return read(in, file.toString());
        }
    }

    /**
     * Reads a stream to its end.
     *
     * @param in an IDX file, plain or compressed by gzip; not closed
     * @param source the stream's name in error messages
     * @return its array
     * @throws IdxException if the contents are malformed, incomplete, too long or of an unsupported element type
     * @throws IOException if the stream cannot be read
     */
    public static IdxArray read(InputStream in, String source) throws IOException {
        BufferedInputStream buffered = new BufferedInputStream(in, BUFFER);
        buffered.mark(2);
        int first = buffered.read();
        int second = buffered.read();
        buffered.reset();
        if ((first << 8 | second) != GZIP_MAGIC) {
            return readPlain(buffered, source);
        }
        try {
            Unzipped unzipped = new Unzipped(buffered);
            IdxArray array = readPlain(unzipped, source);
            if (unzipped.hasMore()) {
                throw new IdxException(
                        source, "bytes follow the end of the gzip data; the file is damaged, fetch it again");
            }
            return array;
        } catch (EOFException e) {
            throw new IdxException(source, "ends inside its gzip data; the file is cut short, fetch it again", e);
        } catch (ZipException e) {
            throw new IdxException(
                    source, "its gzip data is damaged (" + e.getMessage() + "); fetch the file again", e);
        }
    }

    private static IdxArray readPlain(InputStream in, String source) throws IOException {
        byte[] magic = in.readNBytes(4);
        if (magic.length < 4) {
            throw new IdxException(
                    source,
                    "only " + magic.length + " bytes, expected an IDX header of at least 8; the file is "
                            + "cut short, fetch it again");
        }
        checkMagic(magic, source);
        int rank = magic[3];
        byte[] header = in.readNBytes(4 * rank);
        if (header.length < 4 * rank) {
            throw new IdxException(
                    source,
                    "the header ends after " + (4 + header.length) + " bytes, expected " + (4 + 4 * rank) + " for "
                            + rank + " dimensions; the file is cut short, fetch it again");
        }
        int[] shape = new int[rank];
        int size = readShape(ByteBuffer.wrap(header), shape, source);
        Runtime java = Runtime.getRuntime();
        long room = java.maxMemory() - java.totalMemory() + java.freeMemory();
        if (size > room) {
            throw new IdxException(
                    source,
                    "its header promises " + size + " elements, and Java's heap has room for " + room
                            + " bytes; give the JVM more with -Xmx, or use fewer images");
        }
        // Read in pieces, so that a wrong header costs no more memory than the stream has bytes.
        byte[] data = in.readNBytes(size);
        if (data.length < size) {
            throw new IdxException(
                    source,
                    "holds " + data.length + " elements, its header promises " + size + " (" + describe(shape)
                            + "); the file is cut short, fetch it again");
        }
        if (in.read() >= 0) {
            throw new IdxException(
                    source,
                    "bytes follow the " + size + " elements that its header promises (" + describe(shape)
                            + "); the file is damaged or holds something else");
        }
        return new IdxArray(shape, data);
    }

    private static void checkMagic(byte[] magic, String source) throws IdxException {
        String found = "%02x %02x %02x %02x".formatted(magic[0], magic[1], magic[2], magic[3]);
        String type = switch (magic[2]) {
            case UNSIGNED_BYTE -> "unsigned byte";
            case 0x09 -> "signed byte";
            case 0x0b -> "16-bit integer";
            case 0x0c -> "32-bit integer";
            case 0x0d -> "32-bit float";
            case 0x0e -> "64-bit float";
            default -> "";
        };
        if (magic[0] != 0 || magic[1] != 0 || type.isEmpty() || magic[3] < 1) {
            throw new IdxException(
                    source,
                    "begins with " + found + ", expected 00 00 08 and the number of dimensions; this is "
                            + "not an IDX file of unsigned bytes, check that the right file was named");
        }
        if (magic[2] != UNSIGNED_BYTE) {
            throw new IdxException(
                    source,
                    "holds elements of type " + type + " (header " + found + "), expected unsigned bytes "
                            + "(00 00 08); convert the data to unsigned bytes");
        }
    }

    private static int readShape(ByteBuffer header, int[] shape, String source) throws IdxException {
        long size = 1;
        for (int i = 0; i < shape.length; i++) {
            long dimension = Integer.toUnsignedLong(header.getInt());
            if (dimension == 0) {
                throw new IdxException(
                        source, "dimension " + i + " has size 0, expected at least 1; the file holds no data");
            }
            // Neither factor reaches 2^32 here, so the product fits.
            size *= dimension;
            if (size > MAX_BYTES) {
                throw new IdxException(
                        source,
                        "its header promises more than " + MAX_BYTES + " elements (" + dimension + " in dimension " + i
                                + "), the most that is read; the header is damaged or the data must be split");
            }
            shape[i] = (int) dimension;
        }
        return (int) size;
    }

    private static String describe(int[] shape) {
        StringBuilder text = new StringBuilder();
        for (int size : shape) {
            text.append(text.isEmpty() ? "" : " x ").append(size);
        }
        return text.toString();
    }

    /** A gzip stream that detects bytes after its end; the JDK's stream ignores them. */
    private static final class Unzipped extends GZIPInputStream {
        private static final int TRAILER = 8;

        Unzipped(InputStream in) throws IOException {
            super(in, BUFFER);
        }

        boolean hasMore() throws IOException {
            return inf.getRemaining() > TRAILER || in.read() >= 0;
        }
    }
}
