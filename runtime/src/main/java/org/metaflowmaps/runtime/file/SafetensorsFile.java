package org.metaflowmaps.runtime.file;

import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.FileSystemException;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Map;
import org.metaflowmaps.bindings.FileMapping;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.internal.Texts;

/**
 * A safetensors file, memory-mapped: bytes are read in place, for any file size, and each page is loaded on first
 * access.
 *
 * <p>The whole header is checked when the file is opened, more strictly than the format where a file would be
 * ambiguous: names must be unique at every level, fields known, and shapes of at most 64 sizes whose product fits in 64
 * bits. After that every byte of data belongs to exactly one entry.
 *
 * <p>The mapping is private (copy on write): native code may write through a view without changing the file, and only
 * this object sees the writes. If the system cannot map a read-only file like this, as on Windows, the file is read
 * into memory; this behaves the same but needs memory for the whole file.
 *
 * <p>After {@link #close}, access to results of {@link #bytes} throws {@link IllegalStateException}. Tensors of
 * {@link #view} stay valid: the file is unmapped when it is closed and the last of them is freed. No process may
 * shorten a mapped file: access to a lost page ends the JVM with a bus error. Replacing the file, as {@link AtomicFile}
 * does, is safe. All methods may be called from any thread.
 *
 * <p>Format: the safetensors format description, https://huggingface.co/docs/safetensors.
 */
public final class SafetensorsFile implements TensorFile {
    /** A cache line; more alignment than any element type needs. */
    private static final long COPY_ALIGNMENT = 64;

    private static final long COPY_BLOCK = 1 << 24;

    private final String file;
    private final MemorySegment whole;
    private final MappedFile memory;
    private final SafetensorsHeader header;

    private SafetensorsFile(String file, MappedFile memory, SafetensorsHeader header) {
        this.file = file;
        this.memory = memory;
        this.whole = memory.bytes();
        this.header = header;
    }

    /**
     * One tensor of a file.
     *
     * @param name the tensor's name
     * @param dtype the elements' type
     * @param shape the sizes; of no dimension for a single value
     * @param begin the first byte, relative to the beginning of the file's data (not of the file)
     * @param end one past the last byte, relative to the same beginning
     */
    public record Entry(String name, DType dtype, Shape shape, long begin, long end) implements TensorFile.Entry {
        @Override
        public long byteSize() {
            return end - begin;
        }
    }

    /**
     * Opens a file and checks its header.
     *
     * @return the open file, which the caller closes
     * @throws SafetensorsException if the file is not a valid safetensors file
     * @throws IOException if the file is missing or cannot be read
     */
    @SuppressWarnings("MustBeClosedChecker") // the result's close() closes the arena
    public static SafetensorsFile open(Path path) throws IOException {
        requireFile(path, "a safetensors file");
        FileClasses.load(path);
        Arena arena = Arena.ofShared();
        try {
            MemorySegment whole = load(path, arena);
            FileKind kind = FileKind.of(path, whole);
            if (kind != null) {
                throw new SafetensorsException(path.toString(), null, kind.found(), kind.cure());
            }
            return over(path.toString(), whole, arena);
        } catch (Throwable e) {
            arena.close();
            throw e;
        }
    }

    /** Checks the whole file in {@code whole}; closing the result closes {@code arena}. */
    static SafetensorsFile over(String file, MemorySegment whole, Arena arena) throws SafetensorsException {
        SafetensorsHeader header = SafetensorsHeader.read(file, whole);
        return new SafetensorsFile(file, new MappedFile(file, whole, arena), header);
    }

    static void requireFile(Path path, String expected) throws IOException {
        if (!Files.exists(path)) {
            throw new NoSuchFileException(path.toString(), null, "there is no such file: check the path");
        }
        if (!Files.isRegularFile(path)) {
            throw new IOException(path + " is not a regular file; expected " + expected);
        }
    }

    /** Loads a whole file into memory that can be written without changing the file. */
    static MemorySegment load(Path path, Arena arena) throws IOException {
        FileChannel writable;
        try {
            writable = FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE);
        } catch (FileSystemException e) {
            return readOnly(path, arena);
        }
        try (writable) {
            return writable.map(FileChannel.MapMode.PRIVATE, 0, writable.size(), arena);
        } catch (IOException e) {
            throw new IOException(
                    path + " could not be memory-mapped: " + e.getMessage() + "; a copy-on-write mapping of its "
                            + Files.size(path) + " bytes may need that much free memory",
                    e);
        }
    }

    /** Maps a read-only file: the JDK has no private mapping for it, some systems do. */
    static MemorySegment readOnly(Path path, Arena arena) throws IOException {
        if (!FileMapping.isAvailable()
                || !path.getFileSystem().equals(FileSystems.getDefault())
                || Files.size(path) == 0) {
            return copy(path, arena);
        }
        try {
            return FileMapping.copyOnWrite(path, arena);
        } catch (IOException refused) {
            // If mapping fails, read the file instead; if that fails too, its exception explains why.
            return copy(path, arena);
        }
    }

    /** Reads a file into memory of the arena. */
    static MemorySegment copy(Path path, Arena arena) throws IOException {
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            long size = channel.size();
            MemorySegment memory;
            try {
                memory = arena.allocate(size, COPY_ALIGNMENT);
            } catch (OutOfMemoryError e) {
                throw new IOException(
                        path + " is read-only, so its " + size + " bytes must be read into memory, which "
                                + "is too small: allow writing to the file, or free memory",
                        e);
            }
            for (long done = 0; done < size; ) {
                ByteBuffer block =
                        memory.asSlice(done, Math.min(COPY_BLOCK, size - done)).asByteBuffer();
                int read = channel.read(block);
                if (read < 0) {
                    throw new EOFException(
                            path + " was shortened to " + done + " bytes while its " + size + " were read: try again");
                }
                done += read;
            }
            return memory;
        }
    }

    @Override
    public Map<String, Entry> entries() {
        return header.entries();
    }

    @Override
    public Map<String, String> metadata() {
        return header.metadata();
    }

    @Override
    public Map<String, String> unreadable() {
        return header.unreadable();
    }

    /** Returns true if the file claims to contain its own checksum, see {@link SafetensorsWriter#writeSealed}. */
    public boolean isSealed() {
        return header.metadata().containsKey(SafetensorsSeal.KEY);
    }

    /**
     * Reads the whole file and compares it with its checksum.
     *
     * <p>Writes through a view of the mapping count as a change: verify before writing.
     *
     * @throws SafetensorsException if a bit has changed since the file was written, or the file has no checksum
     * @throws IllegalStateException if the file was closed
     */
    public void verify() throws SafetensorsException {
        memory.requireOpen();
        String sealed = header.metadata().get(SafetensorsSeal.KEY);
        long place = SafetensorsSeal.place(whole.asSlice(0, header.dataStart()));
        if (sealed == null || place < 0) {
            throw new SafetensorsException(
                    file,
                    null,
                    "the header has no checksum",
                    "the text '" + SafetensorsSeal.KEY
                            + "' in its metadata: the file is damaged, or was written without a checksum");
        }
        String found = SafetensorsSeal.of(whole, place);
        if (!found.equals(sealed)) {
            throw new SafetensorsException(
                    file,
                    null,
                    "the checksum of the content is " + found,
                    sealed + ", as the header says: the file is damaged, or was changed after it was written");
        }
    }

    /**
     * Returns a tensor's bytes: little-endian, contiguous, in row-major order.
     *
     * @return a view of exactly {@link Entry#byteSize} bytes, valid while this file is open; writing to it does not
     *     change the file
     * @throws IllegalArgumentException if the file has no such tensor
     * @throws IllegalStateException if the file was closed
     */
    public MemorySegment bytes(String name) {
        memory.requireOpen();
        Entry entry = entry(name);
        return whole.asSlice(header.dataStart() + entry.begin(), entry.byteSize());
    }

    /**
     * Returns true if a tensor's address is a multiple of its element size, so that native code may use it in place.
     *
     * <p>The format allows unaligned tensors, and some files have them. {@link #bytes} returns them too, but compilers
     * and vector units may assume aligned addresses: copy the tensor if this is false.
     *
     * @throws IllegalArgumentException if the file has no such tensor
     */
    public boolean aligned(String name) {
        Entry entry = entry(name);
        return (whole.address() + header.dataStart() + entry.begin())
                        % entry.dtype().bytes()
                == 0;
    }

    @Override
    public Tensor view(String name) {
        memory.requireOpen();
        Entry entry = entry(name);
        return memory.view(
                header.dataStart() + entry.begin(),
                entry.byteSize(),
                entry.dtype(),
                entry.shape().toArray());
    }

    private Entry entry(String name) {
        Entry entry = header.entries().get(name);
        if (entry == null) {
            String why = header.unreadable().get(name);
            if (why != null) {
                throw new IllegalArgumentException(file + ": tensor " + Texts.quote(name) + " cannot be read: " + why);
            }
            throw new IllegalArgumentException(file + " has no tensor " + Texts.quote(name) + " among its "
                    + header.entries().size() + ": entries() lists them");
        }
        return entry;
    }

    /**
     * Closes the file; closing twice is harmless.
     *
     * @throws IllegalStateException if a native call still uses a segment of {@link #bytes}
     */
    @Override
    public void close() {
        memory.close();
    }
}
