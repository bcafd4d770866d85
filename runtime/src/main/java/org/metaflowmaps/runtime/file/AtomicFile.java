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
 * Writes files so that a reader, or a machine that loses power, finds the old content or the new, never a part of it.
 *
 * <p>The content goes to a file named {@code .NAME.PID-N.tmp} beside the destination, is forced to the device and renamed into
 * place; on POSIX systems the folder is forced as well, so that the new name lasts. A process killed midway leaves that temporary
 * file, which {@link #deleteAbandoned} deletes once no process PID runs. The old content stays until the end, so the disk must hold both.
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
         * Writes the content from the channel's beginning on; the channel is empty, writable and closed by the caller.
         *
         * @throws IOException to give up: the destination then stays as it was
         */
        void write(FileChannel channel) throws IOException;
    }

    /**
     * Writes a file and puts it in place of the one of that name, if any; a symbolic link to a file is followed and stays.
     *
     * @param target the file to write; missing parent folders are created
     * @param bytes how many bytes are to be written, for the message when the disk is full; 0 if that is not known
     * @param body what writes them; whatever it throws, no trace of the attempt remains
     * @throws IOException if the file could not be written, with the file, the cause and what to do
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
     * Gives a file a second name in the same way: a reader finds what had that name before, or the whole file.
     *
     * <p>The two names share the disk's blocks where the file system makes hard links; elsewhere the file is copied.
     *
     * @param existing the file
     * @param target its second name, replaced if it exists; its folder must be there
     * @throws IOException if that cannot be done, with the file, the cause and what to do
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
            // If both names are links to one file already, POSIX moves nothing and reports no error.
            Files.deleteIfExists(temporary);
        }
        forceFolder(folder);
    }

    /**
     * Deletes what processes that were killed while they wrote have left in a folder.
     *
     * @param folder whose temporary files are deleted, except those of processes that live, and those that this one is writing; a
     *     folder that other machines write to at the same time is not safe to clean
     * @return the files deleted
     * @throws IOException if the folder cannot be read or a file not be deleted
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

    /** In containers the next process often has the number of the one that was killed. */
    private static boolean isAbandoned(Path file, long pid) {
        return pid == ProcessHandle.current().pid()
                ? !BEGUN.contains(file.toAbsolutePath())
                : ProcessHandle.of(pid).isEmpty();
    }

    /** Creates what is missing of a folder's path; returns the folders whose lists of names change, the folder itself first. */
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
                // Left by a process of the same number, on this machine or on one that shares the folder: take the next
                // name.
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

    /** The failure itself, or what it comes from if the folder's disk is too full. */
    private static IOException spaceChecked(IOException e, Path folder, long bytes) {
        long free;
        try {
            free = Files.getFileStore(folder).getUsableSpace();
        } catch (IOException unknown) {
            e.addSuppressed(unknown);
            return e;
        }
        // The system's words may be in any language, so the numbers count as well.
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
            return "its folder takes no files: write elsewhere";
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
            // Some file systems cannot force a folder. The new content is in place, so this is not a failure.
        }
    }
}
