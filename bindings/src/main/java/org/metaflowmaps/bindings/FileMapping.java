package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Objects;

/**
 * Copy-on-write mappings of read-only files, on Linux and macOS.
 *
 * <p>{@link java.nio.channels.FileChannel#map} makes private mappings only of writable channels; the system does not
 * need that.
 */
public final class FileMapping {
    private static final String SYSTEM = System.getProperty("os.name", "").toLowerCase(Locale.ROOT);

    // The same numbers on Linux and macOS (fcntl.h, sys/mman.h).
    private static final int O_RDONLY = 0;
    private static final int PROT_READ_WRITE = 1 | 2;
    private static final int MAP_PRIVATE = 2;
    private static final long MAP_FAILED = -1;

    private FileMapping() {}

    /** The C library's functions, bound when first needed. */
    private static final class Functions {
        private static final Ffm LIBRARY =
                new Ffm("the C library", Linker.nativeLinker().defaultLookup());
        // open is variadic; its third argument is left out for an existing file.
        private static final MethodHandle OPEN = LIBRARY.bind(
                "open", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT), Linker.Option.firstVariadicArg(2));
        private static final MethodHandle CLOSE = LIBRARY.bind("close", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
        private static final MethodHandle MAP = LIBRARY.bind(
                "mmap", FunctionDescriptor.of(JAVA_LONG, ADDRESS, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG));
        private static final MethodHandle UNMAP =
                LIBRARY.bind("munmap", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG));
    }

    /** Whether {@link #copyOnWrite} works on this system. */
    public static boolean isAvailable() {
        return SYSTEM.startsWith("linux") || SYSTEM.startsWith("mac");
    }

    /**
     * Maps a whole file ({@code mmap} with {@code MAP_PRIVATE}); writes to the memory never reach the file.
     *
     * @param path a file of the default file system with at least one byte, which the process may read
     * @param arena unmaps it when closed
     * @return its bytes, readable and writable
     * @throws IOException if the system refuses
     * @throws UnsupportedOperationException where {@link #isAvailable} is false
     */
    public static MemorySegment copyOnWrite(Path path, Arena arena) throws IOException {
        if (!isAvailable()) {
            throw new UnsupportedOperationException(
                    "copy-on-write mappings of read-only files are made on Linux and macOS only");
        }
        Objects.requireNonNull(arena, "arena is null");
        long size = Files.size(path);
        long address = map(path, size);
        if (address == MAP_FAILED) {
            throw new IOException(path + " could not be memory-mapped: the system refused a private mapping of its "
                    + size + " bytes");
        }
        return MemorySegment.ofAddress(address).reinterpret(size, arena, mapping -> unmap(mapping.address(), size));
    }

    private static long map(Path path, long size) throws IOException {
        try (Arena scratch = Arena.ofConfined()) {
            int file = (int) Functions.OPEN.invokeExact(
                    scratch.allocateFrom(path.toAbsolutePath().toString()), O_RDONLY);
            if (file < 0) {
                throw new IOException(path + " could not be opened for reading: check that it exists and may be read");
            }
            long address =
                    (long) Functions.MAP.invokeExact(MemorySegment.NULL, size, PROT_READ_WRITE, MAP_PRIVATE, file, 0L);
            // The mapping stays valid after the file is closed.
            int ignored = (int) Functions.CLOSE.invokeExact(file);
            return address;
        } catch (IOException e) {
            throw e;
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    private static void unmap(long address, long size) {
        try {
            int ignored = (int) Functions.UNMAP.invokeExact(address, size);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }
}
