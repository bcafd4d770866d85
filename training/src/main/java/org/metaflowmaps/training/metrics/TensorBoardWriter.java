package org.metaflowmaps.training.metrics;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.time.InstantSource;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/**
 * Writes scalars and images to an event file for TensorBoard.
 *
 * <p>Each record is written to the operating system before the call returns, so a killed run loses none. One thread at
 * a time. Source: TensorFlow's {@code record_writer} (framing), {@code event.proto} and {@code summary.proto}
 * (contents).
 */
public final class TensorBoardWriter implements AutoCloseable {
    private static final long PNG_SIGNATURE = 0x89504e470d0a1a0aL;
    private static final int SESSION_START = 1;

    private static final String PREFIX = "events.out.tfevents.";

    private final Path folder;
    private final long resumedAt;
    private final InstantSource clock;
    private @Nullable FileChannel channel;
    private @Nullable Path file;

    private TensorBoardWriter(Path folder, long resumedAt, InstantSource clock) {
        this.folder = folder;
        this.resumedAt = resumedAt;
        this.clock = clock;
    }

    /**
     * Begins a new event file.
     *
     * @param folder the file's folder; created if missing. TensorBoard shows all event files of a folder as one run.
     * @param resumedAt the step from which the run continues, 0 for a new one; TensorBoard then drops later steps of
     *     earlier files in the folder
     * @return the writer; the caller closes it
     * @throws IllegalArgumentException if the step is negative
     * @throws IOException if the file cannot be created
     */
    public static TensorBoardWriter open(Path folder, long resumedAt) throws IOException {
        return open(folder, resumedAt, InstantSource.system());
    }

    static TensorBoardWriter open(Path folder, long resumedAt, InstantSource clock) throws IOException {
        checkStep(resumedAt);
        Files.createDirectories(folder);
        TensorBoardWriter writer = new TensorBoardWriter(folder, resumedAt, clock);
        writer.channel();
        return writer;
    }

    /**
     * Begins a new event file at the first value, so that a session without values leaves none.
     *
     * @param folder as for {@link #open(Path, long)}
     * @param resumedAt as for {@link #open(Path, long)}
     * @return the writer; the caller closes it
     * @throws IllegalArgumentException if the step is negative
     */
    public static TensorBoardWriter onFirstValue(Path folder, long resumedAt) {
        checkStep(resumedAt);
        return new TensorBoardWriter(folder, resumedAt, InstantSource.system());
    }

    /**
     * Renames a folder's event files of an earlier run to {@code earlier-events.*}, which TensorBoard does not read.
     * Otherwise steps would go backwards for a run that starts from 0 in the same folder.
     *
     * @param folder the run's folder; may be missing
     * @throws IOException if a file cannot be renamed
     */
    public static void setAside(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) {
            return;
        }
        try (DirectoryStream<Path> files = Files.newDirectoryStream(folder, PREFIX + "*")) {
            for (Path file : files) {
                String name =
                        "earlier-events." + String.valueOf(file.getFileName()).substring(PREFIX.length());
                Files.move(file, folder.resolve(name), StandardCopyOption.REPLACE_EXISTING);
            }
        }
    }

    /** Returns the event file. Throws {@code IllegalStateException} if none was begun. */
    public Path file() {
        if (file == null) {
            throw new IllegalStateException("no event file yet: it is created with the first value");
        }
        return file;
    }

    /**
     * Writes one number.
     *
     * @param tag the curve it belongs to, such as {@code loss/total}; not empty
     * @param step the step it belongs to, at least 0
     * @param value stored as a 32-bit float; may be NaN or infinite
     * @throws IllegalArgumentException if the tag is empty or the step negative
     * @throws IOException if the file cannot be written
     */
    public void scalar(String tag, long step, double value) throws IOException {
        writeValue(tag, step, new Proto().text(1, tag).float32(2, (float) value));
    }

    /**
     * Writes one image; its size and colours are read from the PNG data.
     *
     * @param tag the image's name in TensorBoard; not empty
     * @param step the step it belongs to, at least 0
     * @param png a PNG file
     * @throws IllegalArgumentException if the tag is empty, the step negative or the data not a PNG file
     * @throws IOException if the file cannot be written
     */
    public void image(String tag, long step, byte[] png) throws IOException {
        ByteBuffer header = ByteBuffer.wrap(png);
        if (png.length < 33 || header.getLong() != PNG_SIGNATURE) {
            throw new IllegalArgumentException(
                    "image '%s' of %d bytes is not a PNG file: encode it first".formatted(tag, png.length));
        }
        int width = header.getInt(16);
        int height = header.getInt(20);
        // Converts PNG's colour types to TensorFlow's channel counts; a palette counts as red, green and blue.
        int channels = switch (png[25]) {
            case 0 -> 1;
            case 4 -> 2;
            case 6 -> 4;
            default -> 3;
        };
        Proto image = new Proto()
                .varint(1, height)
                .varint(2, width)
                .varint(3, channels)
                .bytes(4, png);
        writeValue(tag, step, new Proto().text(1, tag).message(4, image));
    }

    /**
     * Forces everything written so far to the disk, so that it survives a power failure.
     *
     * @throws IOException if forcing fails
     */
    public void flush() throws IOException {
        if (channel != null) {
            channel.force(false);
        }
    }

    @Override
    public void close() throws IOException {
        if (channel != null) {
            channel.close();
        }
    }

    private void writeValue(String tag, long step, Proto value) throws IOException {
        if (tag.isEmpty()) {
            throw new IllegalArgumentException("a summary needs a tag such as loss/total, got an empty one");
        }
        checkStep(step);
        write(event(step).message(5, new Proto().message(1, value)));
    }

    private static void checkStep(long step) {
        if (step < 0) {
            throw new IllegalArgumentException("step " + step + ", expected at least 0");
        }
    }

    private Proto event(long step) {
        Instant now = clock.instant();
        Proto event = new Proto().float64(1, now.getEpochSecond() + now.getNano() * 1e-9);
        return step == 0 ? event : event.varint(2, step);
    }

    private void write(Proto event) throws IOException {
        write(channel(), event);
    }

    private static void write(FileChannel channel, Proto event) throws IOException {
        byte[] data = event.toByteArray();
        ByteBuffer record = ByteBuffer.allocate(data.length + 16).order(ByteOrder.LITTLE_ENDIAN);
        record.putLong(data.length).putInt(maskedCrc(record.array(), 0, 8));
        record.put(data).putInt(maskedCrc(data, 0, data.length)).flip();
        while (record.hasRemaining()) {
            channel.write(record);
        }
    }

    private FileChannel channel() throws IOException {
        if (channel != null) {
            return channel;
        }
        FileChannel begun = create(PREFIX + clock.instant().getEpochSecond() + "." + hostName());
        channel = begun;
        try {
            write(begun, event(0).text(3, "brain.Event:2"));
            if (resumedAt > 0) {
                // Steps after the checkpoint will be repeated.
                write(begun, event(resumedAt + 1).message(7, new Proto().varint(1, SESSION_START)));
            }
        } catch (IOException e) {
            begun.close();
            throw e;
        }
        return begun;
    }

    /**
     * Computes the checksum of a record: CRC-32C, rotated and shifted so that it may itself lie within checksummed
     * data.
     */
    static int maskedCrc(byte[] data, int from, int length) {
        CRC32C crc = new CRC32C();
        crc.update(data, from, length);
        return Integer.rotateRight((int) crc.getValue(), 15) + 0xa282ead8;
    }

    private FileChannel create(String name) throws IOException {
        for (int attempt = 0; ; attempt++) {
            // A suffix keeps the order of two files created within one second.
            Path place = folder.resolve(attempt == 0 ? name : name + "." + attempt);
            try {
                FileChannel begun = FileChannel.open(place, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
                file = place;
                return begun;
            } catch (FileAlreadyExistsException e) {
                if (attempt == 1000) {
                    throw e;
                }
            }
        }
    }

    /** Returns this machine's name. Does not use InetAddress, which may wait for a name server. */
    public static String hostName() {
        String name = System.getenv().getOrDefault("HOSTNAME", System.getenv().getOrDefault("COMPUTERNAME", ""));
        try {
            name = name.isEmpty()
                    ? Files.readString(Path.of("/proc/sys/kernel/hostname")).strip()
                    : name;
        } catch (IOException e) {
            name = "";
        }
        return name.isEmpty() ? "localhost" : name.replaceAll("[^A-Za-z0-9.-]", "-");
    }
}
