package org.metaflowmaps.runtime.file;

import java.io.IOException;
import java.nio.channels.Channels;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.FileChannel;
import java.nio.file.AccessDeniedException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Writes files atomically: a reader, also after a power loss, finds the old content or the new, never a part.
 *
 * <p>The content is written to a file {@code .NAME.PID-N.tmp} beside the destination, forced to the device and renamed.
 * On POSIX systems the folder is forced too, so that the new name is stored. A killed process leaves the temporary
 * file; {@link #deleteAbandoned} deletes it once no process PID runs. The old content stays until the end, so the disk
 * must hold both.
 */
public final class AtomicFile {
    private static final AtomicLong COUNTER = new AtomicLong();
    private static final Pattern TEMPORARY = Pattern.compile("\\..+\\.(\\d{1,18})-\\d+\\.tmp");
    /** The temporary files of this process that are being written. */
    private static final Set<Path> BEGUN = ConcurrentHashMap.newKeySet();

    private AtomicFile() {}

    /** Produces a file's content. */
    @FunctionalInterface
    public interface Body {
        /**
         * Writes the content to an empty, writable channel; the caller closes it.
         *
         * @throws IOException to abort; the destination then stays unchanged
         */
        void write(FileChannel channel) throws IOException;
    }

    /**
     * Writes a file, replacing an existing one; a symbolic link to a file is followed and kept.
     *
     * @param target the file to write; missing parent folders are created
     * @param bytes the number of bytes to write, for the message if the disk is full; 0 if unknown
     * @param body writes the content; if it throws, the temporary file is deleted
     * @throws IOException if the file cannot be written, with the file, the cause and what to do
     */
    public static void write(Path target, long bytes, Body body) throws IOException {
        try {
            Path file = Files.isSymbolicLink(target) && Files.exists(target)
                    ? target.toRealPath()
                    : target.toAbsolutePath();
            if (Files.isDirectory(file)) {
                throw new IOException("it is a folder");
            }
            Path folder = file.getParent();
            Path name = file.getFileName();
            if (folder == null || name == null) {
                throw new IOException("it is the root of a file system");
            }
            List<Path> changed = createFolders(folder);
            Path temporary = create(folder, name);
            try {
                try (FileChannel channel = FileChannel.open(temporary, StandardOpenOption.WRITE)) {
                    body.write(channel);
                    channel.force(true);
                }
                Files.move(temporary, file, StandardCopyOption.ATOMIC_MOVE);
            } catch (IOException e) {
                delete(temporary, e);
                throw spaceChecked(e, folder, bytes);
            } catch (RuntimeException | Error e) {
                delete(temporary, e);
                throw e;
            } finally {
                BEGUN.remove(temporary);
            }
            changed.forEach(AtomicFile::forceFolder);
        } catch (IOException e) {
            throw new IOException("cannot write " + target + ": " + explain(e), e);
        }
    }

    /**
     * Gives a file a second name atomically: a reader finds the old file of that name, or this whole file.
     *
     * <p>Makes a hard link if the file system supports it, else a copy.
     *
     * @param existing the file
     * @param target its second name, replaced if it exists; its folder must exist
     * @throws IOException if that fails, with the file, the cause and what to do
     */
    public static void link(Path existing, Path target) throws IOException {
        Path file = target.toAbsolutePath();
        Path folder = file.getParent();
        Path name = file.getFileName();
        if (folder == null || name == null) {
            throw new IOException("cannot write " + target + ": it is the root of a file system");
        }
        Path temporary = folder.resolve(temporaryName(name));
        try {
            Files.createLink(temporary, existing.toRealPath());
        } catch (UnsupportedOperationException | FileSystemException e) {
            write(target, Files.size(existing), channel -> Files.copy(existing, Channels.newOutputStream(channel)));
            return;
        }
        try {
            Files.move(temporary, file, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException e) {
            throw new IOException("cannot write " + target + ": " + explain(e), e);
        } finally {
            // POSIX does not move if both names already link to the same file, and reports no error.
            Files.deleteIfExists(temporary);
        }
        forceFolder(folder);
    }

    /**
     * Deletes temporary files that killed processes left in a folder.
     *
     * @param folder the folder to clean; temporary files of running processes are kept. Not safe while other machines
     *     write to the folder
     * @return the files deleted
     * @throws IOException if the folder cannot be read or a file cannot be deleted
     */
    public static List<Path> deleteAbandoned(Path folder) throws IOException {
        List<Path> deleted = new ArrayList<>();
        try (DirectoryStream<Path> files = Files.newDirectoryStream(folder, ".*.tmp")) {
            for (Path file : files) {
                Matcher matcher = TEMPORARY.matcher(String.valueOf(file.getFileName()));
                if (matcher.matches()
                        && isAbandoned(file, Long.parseLong(matcher.group(1)))
                        && Files.deleteIfExists(file)) {
                    deleted.add(file);
                }
            }
        }
        return deleted;
    }

    /** Compares with this process's own files, because in containers a new process often gets the killed one's PID. */
    private static boolean isAbandoned(Path file, long pid) {
        return pid == ProcessHandle.current().pid()
                ? !BEGUN.contains(file.toAbsolutePath())
                : ProcessHandle.of(pid).isEmpty();
    }

    /** Creates missing folders of a path; returns the folders whose entries change, the given folder first. */
    private static List<Path> createFolders(Path folder) throws IOException {
        List<Path> changed = new ArrayList<>();
        @Nullable Path at = folder;
        while (at != null) {
            changed.add(at);
            if (Files.exists(at)) {
                if (!Files.isDirectory(at)) {
                    throw new IOException(at + " is a file, not a folder: give another path");
                }
                break;
            }
            at = at.getParent();
        }
        try {
            Files.createDirectories(folder);
        } catch (FileAlreadyExistsException e) {
            throw new IOException(e.getFile() + " is a file, not a folder: give another path", e);
        }
        return changed;
    }

    private static Path create(Path folder, Path name) throws IOException {
        while (true) {
            Path temporary = folder.resolve(temporaryName(name));
            BEGUN.add(temporary);
            try {
                return Files.createFile(temporary);
            } catch (FileAlreadyExistsException e) {
                // A process with the same PID left it, here or on a machine that shares the folder: try the next name.
                BEGUN.remove(temporary);
            } catch (IOException e) {
                BEGUN.remove(temporary);
                throw e;
            }
        }
    }

    private static String temporaryName(Path name) {
        return "." + name + "." + ProcessHandle.current().pid() + "-" + COUNTER.incrementAndGet() + ".tmp";
    }

    private static void delete(Path temporary, Throwable because) {
        try {
            Files.deleteIfExists(temporary);
        } catch (IOException e) {
            because.addSuppressed(e);
        }
    }

    /** Returns the failure, or a clearer one if the folder's disk is full. */
    private static IOException spaceChecked(IOException e, Path folder, long bytes) {
        long free;
        try {
            free = Files.getFileStore(folder).getUsableSpace();
        } catch (IOException unknown) {
            e.addSuppressed(unknown);
            return e;
        }
        // The system's message may be in any language, so compare the sizes too.
        if (saysNoSpace(e) || bytes > free) {
            return new IOException(
                    "no space left: " + (bytes > 0 ? bytes + " bytes needed, " : "") + free + " free in " + folder
                            + ": delete something there or write elsewhere",
                    e);
        }
        return e;
    }

    private static boolean saysNoSpace(IOException e) {
        String text = String.valueOf(e.getMessage()).toLowerCase(Locale.ROOT);
        return text.contains("no space left") || text.contains("not enough space") || text.contains("quota exceeded");
    }

    private static String explain(IOException e) {
        if (e instanceof AccessDeniedException denied) {
            return "no permission for " + denied.getFile() + ": allow writing there or write elsewhere";
        }
        if (e instanceof NoSuchFileException) {
            return "no file can be created in its folder: write elsewhere";
        }
        if (e instanceof ClosedByInterruptException) {
            return "the writing thread was interrupted";
        }
        String text = e.getMessage();
        return text == null ? e.getClass().getSimpleName() : text;
    }

    private static void forceFolder(Path folder) {
        if (!folder.getFileSystem().supportedFileAttributeViews().contains("posix")) {
            return;
        }
        try (FileChannel channel = FileChannel.open(folder, StandardOpenOption.READ)) {
            channel.force(true);
        } catch (IOException e) {
            // Some file systems cannot force a folder. The new content is stored already, so ignore it.
        }
    }
}
