package org.metaflowmaps.runtime.internal;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A file of lines that one process extends, so that stopped work can continue. Each added line is forced to disk.
 * A killed process leaves at most one unfinished line, which the next added line replaces.
 */
public final class LineFile implements AutoCloseable {
    private final FileChannel channel;
    private final List<String> lines = new ArrayList<>();
    private String rest = "";
    private long end;

    private LineFile(FileChannel channel) {
        this.channel = channel;
    }

    /**
     * Opens or creates a file, and its folder; does not change an existing file.
     *
     * @return owned by the caller; empty if this process or another one has the file open
     * @throws IOException if the file cannot be read or written
     */
    public static Optional<LineFile> open(Path file) throws IOException {
        Path folder = file.toAbsolutePath().getParent();
        if (folder != null) {
            Files.createDirectories(folder);
        }
        FileChannel channel =
                FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
        try {
            if (!tryLock(channel)) {
                channel.close();
                return Optional.empty();
            }
            LineFile opened = new LineFile(channel);
            opened.read(Files.readAllBytes(file));
            return Optional.of(opened);
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
    }

    /** Locks the file; returns false if this process or another one holds the lock. */
    @SuppressWarnings("UnusedException")
    private static boolean tryLock(FileChannel channel) throws IOException {
        try {
            return channel.tryLock() != null;
        } catch (OverlappingFileLockException e) {
            return false;
        }
    }

    private void read(byte[] content) {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        for (int i = 0; i < content.length; i++) {
            if (content[i] == '\n') {
                lines.add(line.toString(StandardCharsets.UTF_8));
                line.reset();
                end = i + 1L;
            } else {
                line.write(content[i]);
            }
        }
        rest = line.toString(StandardCharsets.UTF_8);
    }

    /** Returns the finished lines that the file had when it was opened, without line breaks. */
    public List<String> lines() {
        return List.copyOf(lines);
    }

    /** Returns the unfinished line that the file had at its end when it was opened. */
    public String rest() {
        return rest;
    }

    /**
     * Adds a line at the end.
     *
     * @param line without line breaks
     * @throws IOException if it cannot be written
     */
    public void add(String line) throws IOException {
        ByteBuffer bytes = StandardCharsets.UTF_8.encode(line + "\n");
        channel.truncate(end);
        channel.position(end);
        while (bytes.hasRemaining()) {
            channel.write(bytes);
        }
        channel.force(true);
        end = channel.position();
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
