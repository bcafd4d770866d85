package org.metaflowmaps.runtime.file;

import com.google.common.base.CharMatcher;
import com.google.common.base.Splitter;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.internal.Texts;

/**
 * The header of a NumPy array (NEP 1, versions 1 and 2): a magic word, a version, and a Python dictionary of type,
 * order and shape.
 *
 * @param dtype the element type
 * @param shape its sizes
 * @param bytes the header's own length
 */
record NpyHeader(DType dtype, Shape shape, long bytes) {
    private static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y'};
    private static final int LONGEST = 1 << 16;
    private static final int MOST_DIMENSIONS = 16;
    private static final int ALIGNMENT = 64;
    private static final Map<String, DType> TYPES = Map.of(
            "|u1", DType.UINT8,
            "<f4", DType.FLOAT32,
            "<f8", DType.FLOAT64,
            "<i4", DType.INT32,
            "<i8", DType.INT64);
    private static final Pattern DESCR = Pattern.compile("'descr'\\s*:\\s*'([^']*)'");
    private static final Pattern ORDER = Pattern.compile("'fortran_order'\\s*:\\s*(True|False)");
    private static final Pattern SHAPE = Pattern.compile("'shape'\\s*:\\s*\\(([^)]*)\\)");

    /**
     * Reads a header from the beginning of an entry.
     *
     * @param name of file and array, for messages
     */
    static NpyHeader read(String name, InputStream in) throws IOException {
        DataInputStream data = new DataInputStream(in);
        try {
            byte[] magic = data.readNBytes(MAGIC.length);
            if (!Arrays.equals(magic, MAGIC)) {
                throw new NpzException(name, "it does not begin as a NumPy array", "an array of numpy.savez");
            }
            int major = data.readUnsignedByte();
            data.readUnsignedByte();
            if (major != 1 && major != 2) {
                throw new NpzException(name, "the array's format has version " + major, "1 or 2");
            }
            int field = major == 1 ? Short.BYTES : Integer.BYTES;
            ByteBuffer size = ByteBuffer.wrap(new byte[Integer.BYTES]).order(ByteOrder.LITTLE_ENDIAN);
            data.readFully(size.array(), 0, field);
            int length = size.getInt();
            if (length < 0 || length > LONGEST) {
                throw new NpzException(
                        name,
                        "the header has " + Integer.toUnsignedString(length) + " bytes",
                        "at most " + LONGEST + ": the file is damaged");
            }
            byte[] text = new byte[length];
            data.readFully(text);
            return parse(name, new String(text, StandardCharsets.ISO_8859_1), MAGIC.length + 2L + field + length);
        } catch (EOFException e) {
            throw new NpzException(name, "the array ends inside its header", "a whole array", e);
        }
    }

    private static NpyHeader parse(String name, String text, long bytes) throws NpzException {
        String type = found(name, text, DESCR);
        DType dtype = TYPES.get(type);
        if (dtype == null) {
            throw new NpzException(
                    name,
                    "the array's type is " + Texts.quote(type),
                    "one of " + TYPES.keySet().stream().sorted().toList() + ": convert it by array.astype");
        }
        List<String> sizes = Splitter.on(',').trimResults().omitEmptyStrings().splitToList(found(name, text, SHAPE));
        if (sizes.size() > MOST_DIMENSIONS) {
            throw new NpzException(name, "the array has " + sizes.size() + " dimensions", "at most " + MOST_DIMENSIONS);
        }
        if (found(name, text, ORDER).equals("True") && sizes.size() > 1) {
            throw new NpzException(
                    name, "the array is in Fortran's order", "C order: save numpy.ascontiguousarray(array)");
        }
        long[] shape = new long[sizes.size()];
        try {
            long total = dtype.bytes();
            for (int i = 0; i < shape.length; i++) {
                // Python 2 wrote an L after each number.
                String digits = CharMatcher.is('L').trimTrailingFrom(sizes.get(i));
                shape[i] = Long.parseUnsignedLong(digits);
                total = Math.multiplyExact(total, shape[i]);
                if (shape[i] < 0 || total < 0) {
                    throw new ArithmeticException("negative");
                }
            }
        } catch (NumberFormatException | ArithmeticException e) {
            throw new NpzException(
                    name, "the array's shape is " + Texts.quote(sizes.toString()), "whole numbers that fit", e);
        }
        return new NpyHeader(dtype, Shape.of(shape), bytes);
    }

    private static String found(String name, String text, Pattern pattern) throws NpzException {
        Matcher matcher = pattern.matcher(text);
        if (!matcher.find()) {
            throw new NpzException(
                    name, "the header is " + Texts.quote(text.strip()), "a plain array's type, order and shape");
        }
        return matcher.group(1);
    }

    /** Returns the bytes of the array without its header. */
    long dataBytes() {
        return Math.multiplyExact(dtype.bytes(), shape.numel());
    }

    /** Returns a header of version 1. */
    static byte[] written(String name, DType dtype, Shape shape) {
        String type = TYPES.entrySet().stream()
                .filter(entry -> entry.getValue() == dtype)
                .map(Map.Entry::getKey)
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("array " + name + " has the type " + dtype
                        + ", expected one of "
                        + TYPES.values().stream().sorted().toList()
                        + ": convert it with Tensor.to"));
        StringBuilder text =
                new StringBuilder("{'descr': '").append(type).append("', 'fortran_order': False, 'shape': (");
        for (int i = 0; i < shape.dim(); i++) {
            text.append(shape.size(i)).append(", ");
        }
        text.append("), }");
        int begin = MAGIC.length + 2 + Short.BYTES;
        while ((begin + text.length() + 1) % ALIGNMENT != 0) {
            text.append(' ');
        }
        text.append('\n');
        ByteBuffer header = ByteBuffer.allocate(begin + text.length()).order(ByteOrder.LITTLE_ENDIAN);
        return header.put(MAGIC)
                .put((byte) 1)
                .put((byte) 0)
                .putShort((short) text.length())
                .put(text.toString().getBytes(StandardCharsets.ISO_8859_1))
                .array();
    }
}
