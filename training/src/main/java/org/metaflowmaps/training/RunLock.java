package org.metaflowmaps.training;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.metaflowmaps.training.metrics.TensorBoardWriter;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Lets only one run at a time write to a folder, by a lock on the file {@value #NAME} in it.
 *
 * <p>The operating system releases the lock when its process ends, so a killed run blocks nobody. The empty file is
 * kept, because another process may be waiting for it.
 */
final class RunLock implements AutoCloseable {
    static final String NAME = ".run.lock";

    /**
     * The locks of this process, because on POSIX systems opening and closing a locked file again releases its lock.
     */
    private static final Set<Path> HELD = ConcurrentHashMap.newKeySet();

    private static final Logger LOG = LoggerFactory.getLogger(RunLock.class);
    /** The locked byte is after the text, because Windows does not let others read locked bytes. */
    private static final long LOCKED_BYTE = Long.MAX_VALUE - 1;

    private final Path file;
    private final FileChannel channel;

    private RunLock(Path file, FileChannel channel) {
        this.file = file;
        this.channel = channel;
    }

    /**
     * Locks a folder.
     *
     * @param folder the run's folder; created if missing
     * @return the lock; the caller closes it
     * @throws IOException if another run holds the lock, with its process, host and start
     */
    static RunLock take(Path folder) throws IOException {
        Path real = Files.createDirectories(folder).toRealPath();
        Path file = real.resolve(NAME);
        if (!HELD.add(file)) {
            throw new IOException("another run of this process writes to " + folder
                    + ": wait until it ends, or choose another folder");
        }
        FileChannel channel = null;
        boolean taken = false;
        try {
            channel = FileChannel.open(
                    file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
            if (!tryLock(channel, file)) {
                throw new IOException("another run writes to " + folder + " (" + holder(channel)
                        + "): wait until it ends, stop it, or choose another folder with --out");
            }
            channel.truncate(0);
            write(
                    channel,
                    "process " + ProcessHandle.current().pid() + " on " + TensorBoardWriter.hostName() + " since "
                            + Instant.now().truncatedTo(ChronoUnit.SECONDS));
            taken = true;
            return new RunLock(file, channel);
        } finally {
            if (!taken) {
                if (channel != null) {
                    channel.close();
                }
                HELD.remove(file);
            }
        }
    }

    private static boolean tryLock(FileChannel channel, Path file) {
        try {
            FileLock lock = channel.tryLock(LOCKED_BYTE, 1, false);
            return lock != null;
        } catch (IOException e) {
            LOG.warn(unlocked(file, e));
            return true;
        }
    }

    static String unlocked(Path file, IOException why) {
        return "warning: " + file + " cannot be locked (" + why.getMessage()
                + "), because some network file systems do not support locks: make sure that only one run writes to its"
                + " folder, or choose a folder on another disk with --out";
    }

    /** Writes the owner for other processes to read; a full disk is ignored. */
    private static void write(FileChannel channel, String text) {
        try {
            channel.write(ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8)), 0);
        } catch (IOException e) {
            LOG.debug("The lock holds without a name", e);
        }
    }

    private static String holder(FileChannel channel) throws IOException {
        ByteBuffer text = ByteBuffer.allocate(400);
        int read = channel.read(text, 0);
        return read <= 0 ? "which has just started" : new String(text.array(), 0, read, StandardCharsets.UTF_8);
    }

    @Override
    public void close() {
        try {
            channel.truncate(0);
            channel.close();
        } catch (IOException e) {
            LOG.debug("The lock ends with this process", e);
        } finally {
            HELD.remove(file);
        }
    }
}
