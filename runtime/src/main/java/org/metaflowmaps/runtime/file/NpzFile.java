package org.metaflowmaps.runtime.file;

import com.google.common.base.Preconditions;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Tensor;

/**
 * An archive of NumPy arrays ({@code .npz}, of {@code numpy.savez} and {@code numpy.savez_compressed}).
 *
 * <p>Reads arrays of uint8, int32, int64, float32 and float64, little-endian and in C order; archives above 4 GiB too.
 * Sizes and checksums are verified. Owned by the caller; one thread at a time.
 */
public final class NpzFile implements AutoCloseable {
    private static final String SUFFIX = NpzWriter.SUFFIX;
    /** The largest ratio of Deflate, rounded up: a larger one cannot be true, and must not make us allocate. */
    private static final long LARGEST_RATIO = 1100;

    private final Path file;
    private final ZipFile zip;

    private NpzFile(Path file, ZipFile zip) {
        this.file = file;
        this.zip = zip;
    }

    /**
     * Opens an archive.
     *
     * @param file of {@code numpy.savez}
     * @throws IOException if it is missing, damaged or not such an archive
     */
    public static NpzFile open(Path file) throws IOException {
        Preconditions.checkNotNull(file, "npz: the file is null");
        try {
            return new NpzFile(file, new ZipFile(file.toFile()));
        } catch (ZipException | EOFException e) {
            throw new NpzException(
                    file.toString(),
                    "it is not a whole archive (" + e + ")",
                    "a .npz file of numpy.savez: fetch it again",
                    e);
        } catch (UnsupportedOperationException e) {
            throw new IOException(file + " is not a file of this computer's file system", e);
        }
    }

    /** Returns the arrays' names, in the archive's order. */
    public List<String> names() {
        return zip.stream()
                .map(ZipEntry::getName)
                .filter(name -> name.endsWith(SUFFIX))
                .map(name -> name.substring(0, name.length() - SUFFIX.length()))
                .toList();
    }

    /** Returns true if there is an array of this name. */
    public boolean contains(String name) {
        return zip.getEntry(name + SUFFIX) != null;
    }

    /**
     * Opens an array for reading by rows.
     *
     * @return owned by the caller
     * @throws IOException if there is no such array, or it is damaged or of another type
     */
    public NpzArray array(String name) throws IOException {
        ZipEntry entry = zip.getEntry(Preconditions.checkNotNull(name, "npz: the array's name is null") + SUFFIX);
        if (entry == null) {
            throw new NpzException(file.toString(), "the arrays are " + names(), "one called " + name);
        }
        String full = file + ", array " + name;
        boolean plausible = entry.getSize() >= 0
                && entry.getSize() / LARGEST_RATIO <= entry.getCompressedSize()
                && (entry.getMethod() == ZipEntry.DEFLATED || entry.getSize() == entry.getCompressedSize());
        if (!plausible) {
            throw new NpzException(
                    full,
                    "it claims " + entry.getSize() + " bytes from " + entry.getCompressedSize() + " in the file",
                    "a true size: the file is damaged");
        }
        InputStream in = null;
        try {
            in = zip.getInputStream(entry);
            return new NpzArray(full, in, entry.getSize(), entry.getCrc());
        } catch (ZipException | EOFException e) {
            close(in, e);
            throw new NpzException(full, "it cannot be unpacked (" + e + ")", "a whole archive", e);
        } catch (IOException | RuntimeException e) {
            close(in, e);
            throw e;
        }
    }

    private static void close(@Nullable InputStream in, Exception failure) {
        try {
            if (in != null) {
                in.close();
            }
        } catch (IOException e) {
            failure.addSuppressed(e);
        }
    }

    /**
     * Reads a whole array.
     *
     * @return a tensor on the CPU, in the innermost open scope
     * @throws IOException if there is no such array, or it is damaged or of another type
     */
    public Tensor read(String name) throws IOException {
        try (NpzArray array = array(name)) {
            return array.readAll();
        }
    }

    /**
     * Writes arrays to a compressed archive that {@code numpy.load} reads; replaces the file atomically.
     *
     * @param file the archive
     * @param arrays tensors of uint8, int32, int64, float32 or float64, on any device, by name; not owned
     * @throws IOException if the file cannot be written
     * @throws IllegalArgumentException if a tensor has another type
     */
    public static void write(Path file, Map<String, Tensor> arrays) throws IOException {
        arrays.forEach((name, array) -> NpyHeader.written(name, array.dtype(), array.shape()));
        NpzWriter.write(file, writer -> {
            for (Map.Entry<String, Tensor> array : arrays.entrySet()) {
                writer.array(array.getKey(), array.getValue());
            }
        });
    }

    @Override
    public void close() throws IOException {
        zip.close();
    }
}
