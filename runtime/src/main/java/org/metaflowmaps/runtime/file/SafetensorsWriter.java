package org.metaflowmaps.runtime.file;

import static org.metaflowmaps.runtime.internal.Texts.quote;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Shape;
import tools.jackson.core.JsonEncoding;
import tools.jackson.core.JsonGenerator;
import tools.jackson.core.ObjectWriteContext;
import tools.jackson.core.json.JsonFactory;

/**
 * Writes safetensors files atomically.
 *
 * <p>Tensors with larger elements come first, otherwise the given order is kept; the header is padded with spaces to a
 * multiple of 8 bytes. So every tensor is aligned to its element size in the file and in a mapping of it. Metadata are
 * sorted by key, so equal content makes equal files; {@code format=pt} is added if they name no format. Bytes are
 * streamed; no second copy of the tensors is made.
 */
public final class SafetensorsWriter {
    private static final int BLOCK = 1 << 20;
    /** Accelerate and Transformers reject files that do not name their framework here. */
    private static final String FORMAT = "format";

    private static final JsonFactory JSON = new JsonFactory();

    private SafetensorsWriter() {}

    /**
     * A tensor to write.
     *
     * @param name its name, unique in the file, not {@code __metadata__}
     * @param dtype the elements' type
     * @param shape the sizes; of no dimension for a single value
     * @param bytes the elements in memory, contiguous, in row-major order, little-endian (as all platforms of this
     *     library); valid and unchanged until written, and accessible to the writing thread
     */
    public record Item(String name, DType dtype, Shape shape, MemorySegment bytes) implements OutgoingTensor {
        /**
         * Checks the parts against each other.
         *
         * @throws IllegalArgumentException if the name is not allowed, or the segment's size does not match the shape
         */
        public Item {
            long expected = checked(name, dtype, shape);
            String what = "tensor " + quote(name) + " of shape " + shape;
            if (bytes.byteSize() != expected) {
                throw new IllegalArgumentException(
                        what + " of " + dtype + " was given " + bytes.byteSize() + " bytes: expected " + expected);
            }
        }

        @Override
        public long byteSize() {
            return bytes.byteSize();
        }

        @Override
        public void read(Sink sink) throws IOException {
            sink.accept(bytes);
        }
    }

    /** Returns the bytes of a tensor of that name, type and shape; throws if a file cannot hold it. */
    private static long checked(String name, DType dtype, Shape shape) {
        if (name.equals(SafetensorsHeader.METADATA)) {
            throw new IllegalArgumentException(
                    "a tensor cannot be named __metadata__, which safetensors reserves for texts: "
                            + "choose another name");
        }
        requireUnicode(name);
        String what = "tensor " + quote(name) + " of shape " + shape;
        if (shape.dim() > SafetensorsHeader.MAX_DIMENSIONS) {
            throw new IllegalArgumentException(
                    what + ": expected at most " + SafetensorsHeader.MAX_DIMENSIONS + " sizes, each of at least 0");
        }
        try {
            return SafetensorsHeader.byteCount(dtype, shape.toArray());
        } catch (ArithmeticException e) {
            throw new IllegalArgumentException(
                    what + " has too many bytes for a 64-bit number: expected a smaller shape", e);
        }
    }

    /**
     * Writes a file; see {@link AtomicFile} for what happens on failure.
     *
     * @param target the file; missing parent folders are created, an old file of that name is replaced at the end
     * @param metadata free texts for the header
     * @param items the tensors
     * @return the SHA-256 of the whole file, as 64 hexadecimal digits
     * @throws IllegalArgumentException if a name occurs twice, or the header would exceed the format's 100 MB
     * @throws IOException if the file could not be written; the old one is then untouched
     */
    public static String write(Path target, Map<String, String> metadata, List<? extends OutgoingTensor> items)
            throws IOException {
        List<OutgoingTensor> ordered = ordered(items);
        return write(target, header(target, metadata, ordered), ordered, -1);
    }

    /**
     * Writes a file with its own checksum, which {@link SafetensorsFile#verify} checks.
     *
     * <p>Adds the text {@code sha256} to the metadata: the SHA-256 of the whole file with zeros in place of these 64
     * digits, so that one pass over the tensors is enough.
     *
     * @param target as for {@link #write}
     * @param metadata free texts for the header, none of them under that key
     * @param items the tensors
     * @return the checksum
     * @throws IllegalArgumentException as for {@link #write}, or if the metadata use the key of the checksum
     * @throws IOException as for {@link #write}
     */
    public static String writeSealed(Path target, Map<String, String> metadata, List<? extends OutgoingTensor> items)
            throws IOException {
        if (metadata.containsKey(SafetensorsSeal.KEY)) {
            throw new IllegalArgumentException("the metadata have a text under '" + SafetensorsSeal.KEY
                    + "', which is reserved for the checksum: expected "
                    + "another key");
        }
        Map<String, String> sealed = new TreeMap<>(metadata);
        sealed.put(SafetensorsSeal.KEY, SafetensorsSeal.BLANK);
        List<OutgoingTensor> ordered = ordered(items);
        byte[] header = header(target, sealed, ordered);
        long place = SafetensorsSeal.place(MemorySegment.ofArray(header));
        if (place < 0) {
            throw new IllegalArgumentException("a metadata key looks like the checksum's key, " + metadata.keySet()
                    + ": expected names without quotation marks");
        }
        return write(target, header, ordered, place);
    }

    private static List<OutgoingTensor> ordered(List<? extends OutgoingTensor> items) {
        items.forEach(item -> checked(item.name(), item.dtype(), item.shape()));
        List<OutgoingTensor> ordered = new ArrayList<>(items);
        ordered.sort(
                Comparator.comparingInt((OutgoingTensor item) -> item.dtype().bytes())
                        .reversed());
        return ordered;
    }

    private static byte[] header(Path target, Map<String, String> metadata, List<OutgoingTensor> ordered) {
        byte[] header = header(metadata, ordered);
        if (header.length > SafetensorsHeader.TEXT_START + SafetensorsHeader.MAX_TEXT) {
            throw new IllegalArgumentException(
                    "the header of " + target + " would have " + header.length + " bytes: expected at " + "most "
                            + SafetensorsHeader.MAX_TEXT + "; shorten the metadata or split the file");
        }
        return header;
    }

    /** Streams a file; {@code sealedAt} is the offset of the checksum, or negative for none. */
    private static String write(Path target, byte[] header, List<OutgoingTensor> ordered, long sealedAt)
            throws IOException {
        MessageDigest digest = SafetensorsSeal.sha256();
        long total = ordered.stream().mapToLong(OutgoingTensor::byteSize).reduce(header.length, Math::addExact);
        String[] checksum = new String[1];
        AtomicFile.write(target, total, channel -> {
            byte[] block = new byte[BLOCK];
            stream(MemorySegment.ofArray(header), block, digest, channel);
            for (OutgoingTensor item : ordered) {
                item.read(bytes -> stream(bytes, block, digest, channel));
            }
            checksum[0] = HexFormat.of().formatHex(digest.digest());
            if (sealedAt >= 0) {
                channel.position(sealedAt);
                write(ByteBuffer.wrap(checksum[0].getBytes(StandardCharsets.US_ASCII)), channel);
            }
        });
        return checksum[0];
    }

    /** Returns the length field and the padded text. */
    private static byte[] header(Map<String, String> given, List<OutgoingTensor> ordered) {
        Map<String, String> metadata = new TreeMap<>(given);
        metadata.putIfAbsent(FORMAT, "pt");
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.writeBytes(new byte[SafetensorsHeader.TEXT_START]);
        try (JsonGenerator json = JSON.createGenerator(ObjectWriteContext.empty(), out, JsonEncoding.UTF8)) {
            json.writeStartObject();
            json.writeObjectPropertyStart(SafetensorsHeader.METADATA);
            metadata.forEach((key, text) -> {
                requireUnicode(key);
                requireUnicode(text);
                json.writeStringProperty(key, text);
            });
            json.writeEndObject();
            Set<String> names = new HashSet<>();
            long begin = 0;
            for (OutgoingTensor item : ordered) {
                if (!names.add(item.name())) {
                    throw new IllegalArgumentException(
                            "two tensors are named " + quote(item.name()) + ": give each its own name");
                }
                long end = Math.addExact(begin, item.byteSize());
                json.writeObjectPropertyStart(item.name());
                json.writeStringProperty("dtype", item.dtype().safetensorsName());
                writeNumbers(json, "shape", item.shape().sizes().asList());
                writeNumbers(json, "data_offsets", List.of(begin, end));
                json.writeEndObject();
                begin = end;
            }
            json.writeEndObject();
        }
        byte[] unpadded = out.toByteArray();
        byte[] header = Arrays.copyOf(unpadded, Math.ceilDiv(unpadded.length, Long.BYTES) * Long.BYTES);
        Arrays.fill(header, unpadded.length, header.length, (byte) ' ');
        ByteBuffer.wrap(header).order(ByteOrder.LITTLE_ENDIAN).putLong(header.length - SafetensorsHeader.TEXT_START);
        return header;
    }

    private static void writeNumbers(JsonGenerator json, String field, List<Long> numbers) {
        json.writeArrayPropertyStart(field);
        numbers.forEach(json::writeNumber);
        json.writeEndArray();
    }

    /** Copies through an array, because digests and channels accept arrays for every kind of memory. */
    private static void stream(MemorySegment from, byte[] block, MessageDigest digest, FileChannel to)
            throws IOException {
        for (long done = 0; done < from.byteSize(); ) {
            int count = (int) Math.min(block.length, from.byteSize() - done);
            MemorySegment.copy(from, done, MemorySegment.ofArray(block), 0, count);
            digest.update(block, 0, count);
            write(ByteBuffer.wrap(block, 0, count), to);
            done += count;
        }
    }

    private static void write(ByteBuffer buffer, FileChannel to) throws IOException {
        while (buffer.hasRemaining()) {
            to.write(buffer);
        }
    }

    private static void requireUnicode(String text) {
        if (!SafetensorsHeader.isUnicode(text)) {
            throw new IllegalArgumentException("the text " + quote(text)
                    + " has half a surrogate pair, which UTF-8 cannot encode: "
                    + "expected whole characters");
        }
    }
}
