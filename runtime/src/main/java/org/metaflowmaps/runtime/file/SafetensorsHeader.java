package org.metaflowmaps.runtime.file;

import static org.metaflowmaps.runtime.internal.Texts.clean;
import static org.metaflowmaps.runtime.internal.Texts.quote;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.file.SafetensorsFile.Entry;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.StreamReadConstraints;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.core.TokenStreamFactory;
import tools.jackson.core.json.JsonFactory;

/** Reads and checks the header of a safetensors file; an accepted header describes only bytes that exist. */
final class SafetensorsHeader {
    /** The offset of the header's text: after its length, a 64-bit little-endian number. */
    static final int TEXT_START = Long.BYTES;
    /** The longest header that the format's reference reader accepts. */
    static final long MAX_TEXT = 100_000_000;
    /** More dimensions than libtorch supports. */
    static final int MAX_DIMENSIONS = 64;

    static final String METADATA = "__metadata__";

    private static final ValueLayout.OfLong LENGTH = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final String WHOLE_NUMBER = "a whole number from 0 to 9223372036854775807";
    private static final String ENTRY_FORM = "exactly the fields dtype, shape and data_offsets";
    /** The pattern of element type names. */
    private static final Pattern OTHER_TYPE = Pattern.compile("[A-Z][A-Z0-9_]{0,30}");

    private static final String TYPES =
            Arrays.stream(DType.values()).map(DType::safetensorsName).sorted().collect(Collectors.joining(", "));
    private static final JsonFactory JSON = JsonFactory.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            // Do not intern names: every name in a file is different.
            .disable(TokenStreamFactory.Feature.CANONICALIZE_PROPERTY_NAMES)
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxNestingDepth(4)
                    .maxDocumentLength(MAX_TEXT)
                    .maxStringLength((int) MAX_TEXT)
                    .maxNameLength((int) MAX_TEXT)
                    .maxNumberLength(100)
                    .build())
            .build();

    private final String file;
    private final long dataStart;
    private final long dataBytes;
    private final JsonParser json;
    private final Map<String, Entry> entries = new LinkedHashMap<>();
    private final Map<String, String> metadata = new LinkedHashMap<>();
    private final Map<String, String> unreadable = new LinkedHashMap<>();
    private final List<Range> ranges = new ArrayList<>();
    /** The tensor being read, for messages. */
    private @Nullable String tensor;

    /** The bytes of a tensor of any type. */
    private record Range(String name, long begin, long end) {}

    private SafetensorsHeader(String file, long dataStart, long dataBytes, JsonParser json) {
        this.file = file;
        this.dataStart = dataStart;
        this.dataBytes = dataBytes;
        this.json = json;
    }

    /**
     * Reads the header of the whole safetensors file in {@code whole}.
     *
     * @param file the file's name in messages
     */
    static SafetensorsHeader read(String file, MemorySegment whole) throws SafetensorsException {
        if (whole.byteSize() < TEXT_START) {
            throw new SafetensorsException(
                    file,
                    null,
                    "the file has " + whole.byteSize() + " bytes",
                    "at least 8, the header's length: it is empty, truncated or not a safetensors file");
        }
        long length = whole.get(LENGTH, 0);
        if (Long.compareUnsigned(length, MAX_TEXT) > 0) {
            throw new SafetensorsException(
                    file,
                    null,
                    "the header's length is given as " + Long.toUnsignedString(length) + " bytes",
                    "at most " + MAX_TEXT + ": this is probably not a safetensors file");
        }
        if (length > whole.byteSize() - TEXT_START) {
            throw new SafetensorsException(
                    file,
                    null,
                    "the header's length is given as " + length + " bytes, but only " + (whole.byteSize() - TEXT_START)
                            + " follow",
                    "the whole header: the file is truncated, fetch it again");
        }
        ByteBuffer bytes = whole.asSlice(TEXT_START, length).asByteBuffer();
        if (length == 0 || bytes.get(0) != '{') {
            throw new SafetensorsException(
                    file,
                    null,
                    length == 0
                            ? "the header is empty"
                            : "the header begins with byte " + Byte.toUnsignedInt(bytes.get(0)),
                    "'{': this is not a safetensors file");
        }
        CharBuffer text;
        try {
            text = StandardCharsets.UTF_8.newDecoder().decode(bytes);
        } catch (CharacterCodingException e) {
            throw because(
                    e,
                    new SafetensorsException(
                            file, null, "the header's byte " + bytes.position() + " is not UTF-8", "JSON in UTF-8"));
        }
        long dataStart = TEXT_START + length;
        JsonParser json =
                JSON.createParser(ObjectReadContext.empty(), text.array(), text.arrayOffset(), text.remaining());
        try (json) {
            SafetensorsHeader header = new SafetensorsHeader(file, dataStart, whole.byteSize() - dataStart, json);
            header.parse();
            header.checkLayout();
            return header;
        }
    }

    /** Returns the offset of the tensors' bytes in the file. */
    long dataStart() {
        return dataStart;
    }

    Map<String, Entry> entries() {
        return Collections.unmodifiableMap(entries);
    }

    Map<String, String> metadata() {
        return Collections.unmodifiableMap(metadata);
    }

    /** Returns the tensors of unsupported types, with the reason. */
    Map<String, String> unreadable() {
        return Collections.unmodifiableMap(unreadable);
    }

    private void parse() throws SafetensorsException {
        try {
            json.nextToken();
            while (json.nextToken() != JsonToken.END_OBJECT) {
                String name = json.currentName();
                if (name.equals(METADATA)) {
                    parseMetadata();
                } else {
                    tensor = name;
                    parseEntry(name);
                    tensor = null;
                }
            }
        } catch (JacksonException e) {
            throw because(
                    e,
                    problem(
                            "the header is not valid JSON: " + clean(e.getOriginalMessage(), 300) + " (at character "
                                    + json.currentLocation().getCharOffset() + ")",
                            "one JSON object with every name once"));
        }
        long end = json.currentLocation().getCharOffset();
        try {
            if (json.nextToken() != null) {
                throw problem("text follows the header's JSON object at character " + end, "nothing but spaces");
            }
        } catch (JacksonException e) {
            throw because(
                    e, problem("text follows the header's JSON object at character " + end, "nothing but spaces"));
        }
    }

    private void parseMetadata() throws SafetensorsException {
        if (json.nextToken() != JsonToken.START_OBJECT) {
            throw problem(METADATA + " is " + shown(), "an object whose values are strings");
        }
        while (json.nextToken() != JsonToken.END_OBJECT) {
            String key = json.currentName();
            if (json.nextToken() != JsonToken.VALUE_STRING) {
                throw problem(METADATA + " has " + shown() + " under " + quote(key), "a string");
            }
            String text = json.getString();
            if (!isUnicode(text)) {
                throw problem(
                        METADATA + " has half a surrogate pair under " + quote(key),
                        "whole characters, as UTF-8 has them");
            }
            metadata.put(key, text);
        }
    }

    private void parseEntry(String name) throws SafetensorsException {
        if (json.nextToken() != JsonToken.START_OBJECT) {
            throw problem("its description is " + shown(), "an object with " + ENTRY_FORM);
        }
        String type = null;
        List<Long> shape = null;
        List<Long> offsets = null;
        while (json.nextToken() != JsonToken.END_OBJECT) {
            String field = json.currentName();
            json.nextToken();
            switch (field) {
                case "dtype" -> type = parseType();
                case "shape" -> shape = parseNumbers("shape");
                case "data_offsets" -> offsets = parseNumbers("data_offsets");
                default -> throw problem("unexpected field " + quote(field), ENTRY_FORM);
            }
        }
        if (type == null || shape == null || offsets == null) {
            String missing = type == null ? "dtype" : shape == null ? "shape" : "data_offsets";
            throw problem("field " + missing + " is missing", ENTRY_FORM);
        }
        checkRange(offsets);
        ranges.add(new Range(name, offsets.get(0), offsets.get(1)));
        Optional<DType> known = DType.ofSafetensorsName(type);
        if (known.isPresent()) {
            entries.put(name, checkedEntry(name, known.get(), shape, offsets));
        } else {
            unreadable.put(
                    name,
                    "its elements are of type " + type + ", shape " + shape
                            + ", which is not supported: expected one of " + TYPES);
        }
    }

    /** Reads a type's name; an unsupported type is an error only when its tensor is read. */
    private String parseType() throws SafetensorsException {
        if (json.currentToken() != JsonToken.VALUE_STRING
                || !OTHER_TYPE.matcher(json.getString()).matches()) {
            throw problem("dtype is " + shown(), "one of " + TYPES);
        }
        return json.getString();
    }

    private List<Long> parseNumbers(String field) throws SafetensorsException {
        if (json.currentToken() != JsonToken.START_ARRAY) {
            throw problem(field + " is " + shown(), "an array of whole numbers");
        }
        List<Long> numbers = new ArrayList<>();
        while (json.nextToken() != JsonToken.END_ARRAY) {
            if (numbers.size() == MAX_DIMENSIONS) {
                throw problem(field + " holds more than " + MAX_DIMENSIONS + " numbers", "at most that many");
            }
            String digits = json.currentToken() == JsonToken.VALUE_NUMBER_INT ? json.getString() : "";
            if (digits.isEmpty() || digits.startsWith("-")) {
                throw problem(field + " holds " + shown(), WHOLE_NUMBER);
            }
            try {
                numbers.add(Long.parseLong(digits));
            } catch (NumberFormatException e) {
                throw because(e, problem(field + " holds " + shown() + ", which is too large", WHOLE_NUMBER));
            }
        }
        return numbers;
    }

    private void checkRange(List<Long> offsets) throws SafetensorsException {
        if (offsets.size() != 2) {
            throw problem("data_offsets holds " + offsets.size() + " numbers", "two, the begin and the end");
        }
        long begin = offsets.get(0);
        long end = offsets.get(1);
        if (begin > end) {
            throw problem("data_offsets begin at " + begin + " and end at " + end, "begin <= end");
        }
        if (end > dataBytes) {
            throw problem(
                    "data_offsets end at " + end + ", beyond the " + dataBytes + " bytes of data in the file",
                    "offsets inside the data: the file is truncated, fetch it again, or its header is wrong");
        }
    }

    private Entry checkedEntry(String name, DType type, List<Long> shape, List<Long> offsets)
            throws SafetensorsException {
        long[] sizes = shape.stream().mapToLong(Long::longValue).toArray();
        long begin = offsets.get(0);
        long end = offsets.get(1);
        long bytes;
        try {
            bytes = byteCount(type, sizes);
        } catch (ArithmeticException e) {
            throw because(
                    e,
                    problem(
                            "shape " + shape + " of " + type + " has too many bytes for a 64-bit number",
                            "a smaller shape"));
        }
        if (bytes != end - begin) {
            throw problem(
                    "data_offsets [" + begin + ", " + end + "] span " + (end - begin) + " bytes",
                    bytes + " for shape " + shape + " of " + type);
        }
        return new Entry(name, type, Shape.of(sizes), begin, end);
    }

    /**
     * Checks that every byte of data belongs to exactly one tensor, as the format requires, so that a file hides no
     * data.
     */
    private void checkLayout() throws SafetensorsException {
        List<Range> ordered = new ArrayList<>(ranges);
        ordered.sort(Comparator.comparingLong(Range::begin).thenComparingLong(Range::end));
        long reached = 0;
        String previous = "";
        for (Range entry : ordered) {
            if (entry.begin() < reached) {
                throw new SafetensorsException(
                        file,
                        entry.name(),
                        "its data begin at " + entry.begin() + ", inside tensor " + quote(previous) + " which ends at "
                                + reached,
                        "tensors that do not overlap");
            }
            if (entry.begin() > reached) {
                throw new SafetensorsException(
                        file,
                        entry.name(),
                        "its data begin at " + entry.begin() + ", after " + (entry.begin() - reached)
                                + " bytes that no tensor has",
                        "data without holes");
            }
            reached = entry.end();
            previous = entry.name();
        }
        if (reached != dataBytes) {
            throw new SafetensorsException(
                    file,
                    null,
                    "the tensors end at byte " + reached + " of the data, but the file " + "has "
                            + (dataBytes - reached) + " more bytes",
                    "data that end with the last tensor");
        }
    }

    /**
     * Returns the bytes of a contiguous tensor.
     *
     * @throws ArithmeticException if the sizes other than 0 multiply to more than 2^63-1 bytes, even if another size is
     *     0: its strides would not fit in 64 bits
     */
    static long byteCount(DType type, long[] sizes) {
        long nonEmpty = type.bytes();
        boolean empty = false;
        for (long size : sizes) {
            empty |= size == 0;
            nonEmpty = Math.multiplyExact(nonEmpty, Math.max(size, 1));
        }
        return empty ? 0 : nonEmpty;
    }

    /** Returns true if UTF-8 can encode the text; JSON escapes can contain half a surrogate pair, which it cannot. */
    static boolean isUnicode(String text) {
        return StandardCharsets.UTF_8.newEncoder().canEncode(text);
    }

    private String shown() {
        JsonToken token = json.currentToken();
        if (token == JsonToken.START_OBJECT) {
            return "an object";
        }
        return token == JsonToken.START_ARRAY ? "an array" : quote(json.getString());
    }

    private SafetensorsException problem(String found, String expected) {
        return new SafetensorsException(file, tensor, found, expected);
    }

    private static SafetensorsException because(Exception cause, SafetensorsException problem) {
        problem.initCause(cause);
        return problem;
    }
}
