package org.metaflowmaps.training.metrics;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.time.InstantSource;
import java.util.zip.CRC32C;

/**
 * Writes scalars and images to an event file that TensorBoard shows.
 *
 * <p>Each record goes to the operating system before the call returns, so a killed run keeps all of them. One thread at a time.
 * Source: TensorFlow's {@code record_writer} (framing), {@code event.proto} and {@code summary.proto} (contents).
 */
public final class TensorBoardWriter implements AutoCloseable {
    private static final long PNG_SIGNATURE = 0x89504e470d0a1a0aL;
    private static final int SESSION_START = 1;

    private final FileChannel channel;
    private final Path file;
    private final InstantSource clock;

    private TensorBoardWriter(FileChannel channel, Path file, InstantSource clock) {
        this.channel = channel;
        this.file = file;
        this.clock = clock;
    }

    /**
     * Begins a new event file.
     *
     * @param folder where to put it; made if missing. TensorBoard shows all event files of a folder as one run.
     * @param resumedAt the step from which the run goes on, 0 for a new one; TensorBoard then drops what earlier files of
     *     the folder hold for later steps
     * @return the writer; the caller closes it
     * @throws IllegalArgumentException if the step is negative
     * @throws IOException if the file cannot be made
     */
    public static TensorBoardWriter open(Path folder, long resumedAt) throws IOException {
        return open(folder, resumedAt, InstantSource.system());
    }

    static TensorBoardWriter open(Path folder, long resumedAt, InstantSource clock) throws IOException {
        checkStep(resumedAt);
        Files.createDirectories(folder);
        String name = "events.out.tfevents." + clock.instant().getEpochSecond() + "." + hostName();
        TensorBoardWriter writer = create(folder, name, clock);
        try {
            writer.write(writer.event(0).text(3, "brain.Event:2"));
            if (resumedAt > 0) {
                // Steps after the checkpoint are about to be taken again.
                writer.write(writer.event(resumedAt + 1).message(7, new Proto().varint(1, SESSION_START)));
            }
        } catch (IOException e) {
            writer.channel.close();
            throw e;
        }
        return writer;
    }

    /** Gives the event file. */
    public Path file() {
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
     * @param tag what TensorBoard calls the image; not empty
     * @param step the step it belongs to, at least 0
     * @param png a PNG file
     * @throws IllegalArgumentException if the tag is empty, the step negative or the data not a PNG file
     * @throws IOException if the file cannot be written
     */
    public void image(String tag, long step, byte[] png) throws IOException {
        ByteBuffer header = ByteBuffer.wrap(png);
        if (png.length < 33 || header.getLong() != PNG_SIGNATURE) {
            throw new IllegalArgumentException("image '%s' of %d bytes is not a PNG file; encode it first"
                    .formatted(tag, png.length));
        }
        int width = header.getInt(16);
        int height = header.getInt(20);
        // PNG's colour types in TensorFlow's terms, which count channels; a palette unfolds to red, green and blue.
        int channels = switch (png[25]) {
            case 0 -> 1;
            case 4 -> 2;
            case 6 -> 4;
            default -> 3;
        };
        Proto image = new Proto().varint(1, height).varint(2, width).varint(3, channels).bytes(4, png);
        writeValue(tag, step, new Proto().text(1, tag).message(4, image));
    }

    /**
     * Makes the disk hold everything written so far, so that it outlives a power failure too.
     *
     * @throws IOException if the disk does not take it
     */
    public void flush() throws IOException {
        channel.force(false);
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }

    private void writeValue(String tag, long step, Proto value) throws IOException {
        if (tag.isEmpty()) {
            throw new IllegalArgumentException("a summary needs a tag such as loss/total; got an empty one");
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
        byte[] data = event.toByteArray();
        ByteBuffer record = ByteBuffer.allocate(data.length + 16).order(ByteOrder.LITTLE_ENDIAN);
        record.putLong(data.length).putInt(maskedCrc(record.array(), 0, 8));
        record.put(data).putInt(maskedCrc(data, 0, data.length)).flip();
        while (record.hasRemaining()) {
            channel.write(record);
        }
    }

    /** Computes the checksum of a record: CRC-32C, rotated and shifted so that it may itself lie within checksummed data. */
    static int maskedCrc(byte[] data, int from, int length) {
        CRC32C crc = new CRC32C();
        crc.update(data, from, length);
        return Integer.rotateRight((int) crc.getValue(), 15) + 0xa282ead8;
    }

    private static TensorBoardWriter create(Path folder, String name, InstantSource clock) throws IOException {
        for (int attempt = 0;; attempt++) {
            // Two files begun within one second; a suffix keeps their order.
            Path file = folder.resolve(attempt == 0 ? name : name + "." + attempt);
            try {
                return new TensorBoardWriter(
                        FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE), file, clock);
            } catch (FileAlreadyExistsException e) {
                if (attempt == 1000) {
                    throw e;
                }
            }
        }
    }

    /** Not by InetAddress, which asks a name server and may wait for it. */
    private static String hostName() {
        String name = System.getenv().getOrDefault("HOSTNAME", System.getenv().getOrDefault("COMPUTERNAME", ""));
        try {
            name = name.isEmpty() ? Files.readString(Path.of("/proc/sys/kernel/hostname")).strip() : name;
        } catch (IOException e) {
            name = "";
        }
        return name.isEmpty() ? "localhost" : name.replaceAll("[^A-Za-z0-9.-]", "-");
    }
}
