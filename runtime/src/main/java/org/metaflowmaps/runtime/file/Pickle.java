package org.metaflowmaps.runtime.file;

import static org.metaflowmaps.runtime.internal.Texts.clean;
import static org.metaflowmaps.runtime.internal.Texts.quote;

import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.math.BigInteger;
import java.nio.ByteOrder;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Reads a pickle of protocol 0 to 5 without running it: a name that {@link Names} does not know, and every object made
 * with it, becomes an inert {@link Made}. Nothing is looked up, created by reflection or called.
 *
 * <p>Values are null, {@link Boolean}, {@link Long}, {@link BigInteger}, {@link Double}, {@link String}, {@link List}
 * for lists and sets, {@code Object[]} for tuples, {@link Dict}, {@link Name}, {@link Made}, {@link Opaque}, and
 * results of {@link Names}. They may contain the same value twice, and themselves.
 *
 * <p>Format: the pickletools module of Python, https://docs.python.org/3/library/pickletools.html.
 */
final class Pickle {
    /** Limits the objects, and so the memory, that a hostile file can request. */
    private static final int MAX_OBJECTS = 3_000_000;

    private static final int MAX_INSTRUCTIONS = 20_000_000;
    /** Longer texts are skipped. */
    private static final int MAX_TEXT = 1_000_000;

    private static final int MAX_LINE = 1_000_000;
    /** More digits than any size has; parsing time grows with the square of the length. */
    private static final int MAX_NUMBER = 1_000;

    private static final int NEWEST = 5;
    /** The most characters of a name in messages. */
    private static final int MAX_NAME = 100;
    /** The most characters of a key that is a tuple or an object. */
    private static final int MAX_KEY = 1_000;

    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfDouble DOUBLE =
            ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);

    private final String file;
    private final MemorySegment bytes;
    private final Names names;
    private final List<@Nullable Object> stack = new ArrayList<>();
    private final List<Integer> marks = new ArrayList<>();
    private final Map<Integer, @Nullable Object> memo = new HashMap<>();
    private long position;
    private int instructions;
    private int objects;

    private Pickle(String file, MemorySegment bytes, long position, Names names) {
        this.file = file;
        this.bytes = bytes;
        this.position = position;
        this.names = names;
    }

    /** Handles the names that a reader knows. */
    interface Names {
        /**
         * Returns the result of a call.
         *
         * @return a {@link Made} if the name is not known
         * @throws IllegalArgumentException if the name is known and the arguments are wrong
         */
        @Nullable
        Object call(Name name, Object[] arguments);

        /** Returns the value of an identifier that the pickle refers to. */
        @Nullable
        Object persistent(@Nullable Object id);
    }

    /** A Python name; in two parts, because joined with a dot they would be ambiguous. */
    record Name(String module, String name) {
        @Override
        public String toString() {
            // Cut both parts first, because each may have a million characters and is shown for each object.
            return clean(start(module) + "." + start(name), MAX_NAME);
        }

        private static String start(String text) {
            return text.substring(0, Math.min(text.length(), MAX_NAME + 1));
        }
    }

    /** A value whose content is skipped. */
    record Opaque(String what) {}

    /** A dict with its items and its attributes. */
    static final class Dict extends LinkedHashMap<Object, @Nullable Object> {
        private static final long serialVersionUID = 1L;
        private transient @Nullable Object attributes;

        @Nullable
        Object attributes() {
            return attributes;
        }
    }

    /**
     * A key that is neither text nor number. Two keys are never equal, because comparing might not end. The text is
     * made on demand, because a small pickle can use one large tuple as millions of keys.
     */
    private static final class Key {
        private final @Nullable Object value;

        Key(@Nullable Object value) {
            this.value = value;
        }

        @Override
        public String toString() {
            StringBuilder text = new StringBuilder();
            name(text, value, 0);
            if (text.length() > MAX_KEY) {
                text.setLength(MAX_KEY);
                text.append("...");
            }
            return text.toString();
        }
    }

    /**
     * Stands in for the result of a call that is not run: the call, the items and elements added to it, and its state.
     */
    static final class Made {
        private final String by;
        private final Object[] arguments;
        private final Dict items = new Dict();
        private final List<@Nullable Object> elements = new ArrayList<>();
        private @Nullable Object state;

        Made(String by, Object... arguments) {
            this.by = by;
            this.arguments = arguments;
        }

        /** Returns the name of the function to call. */
        String by() {
            return by;
        }

        Object[] arguments() {
            return arguments;
        }

        Dict items() {
            return items;
        }

        List<@Nullable Object> elements() {
            return elements;
        }

        @Nullable
        Object state() {
            return state;
        }
    }

    /**
     * A pickle's value and end.
     *
     * @param value see the class's description
     * @param end the offset after the pickle's last byte
     */
    record Result(@Nullable Object value, long end) {}

    /** Reads the pickle that begins at a byte. */
    static Result read(String file, MemorySegment bytes, long begin, Names names) throws PyTorchException {
        Pickle pickle = new Pickle(file, bytes, begin, names);
        try {
            while (pickle.step()) {
                pickle.count();
            }
            return new Result(pickle.pop(), pickle.position);
        } catch (PyTorchException e) {
            throw e;
        } catch (IOException | RuntimeException e) {
            // A damaged pickle can make collections and parsers throw any runtime exception.
            throw new PyTorchException(
                    file,
                    "the pickle is not understood at byte " + (pickle.position - begin) + " ("
                            + clean(String.valueOf(e.getMessage()), 200) + ")",
                    "one that torch.save wrote: the file is damaged, fetch it again",
                    e);
        }
    }

    private void count() throws PyTorchException {
        if (++instructions > MAX_INSTRUCTIONS || objects > MAX_OBJECTS) {
            throw new PyTorchException(
                    file,
                    "the pickle has more than " + MAX_OBJECTS + " objects or " + MAX_INSTRUCTIONS + " instructions",
                    "fewer");
        }
    }

    /** Runs one instruction; returns false after the last. */
    private boolean step() throws IOException {
        int code = unsigned(1);
        switch (code) {
            case '.' -> {
                return false;
            }
            case 0x80 -> requireProtocol(unsigned(1));
            case 0x95 -> take(Long.BYTES);
            case '(' -> marks.add(stack.size());
            case '0' -> {
                if (!marks.isEmpty() && marks.getLast() == stack.size()) {
                    marks.removeLast();
                } else {
                    pop();
                }
            }
            case '1' -> sinceMark();
            case '2' -> push(top());
            case 'N' -> push(null);
            case 0x88 -> push(true);
            case 0x89 -> push(false);
            case 'I', 'L', 'J', 'K', 'M', 0x8a, 0x8b, 'F', 'G' -> push(number(code));
            case 'S', 'T', 'U', 'V', 'X', 0x8c, 0x8d -> push(text(code));
            case 'B', 'C', 0x8e, 0x96 -> {
                take(length(code == 'C' ? 1 : code == 'B' ? Integer.BYTES : Long.BYTES));
                push(new Opaque("bytes"));
            }
            case 'p' -> remember(Integer.parseInt(line().strip()));
            case 'q' -> remember(unsigned(1));
            case 'r' -> remember((int) length(Integer.BYTES));
            case 0x94 -> remember(memo.size());
            case 'g' -> push(remembered(Integer.parseInt(line().strip())));
            case 'h' -> push(remembered(unsigned(1)));
            case 'j' -> push(remembered((int) length(Integer.BYTES)));
            case 'c' -> push(new Name(line(), line()));
            case 0x93 -> {
                Object name = pop();
                push(new Name((String) required(pop()), (String) required(name)));
            }
            case 0x82 -> push(new Name("extension", Integer.toString(unsigned(1))));
            case 0x83 -> push(new Name("extension", Integer.toString(unsigned(2))));
            case 0x84 -> push(new Name("extension", Long.toString(length(Integer.BYTES))));
            case 'P' -> push(names.persistent(line()));
            case 'Q' -> push(names.persistent(pop()));
            case 0x97 ->
                throw new PyTorchException(
                        file, "the pickle's data are in buffers outside the file", "a file of torch.save");
            // The buffer on the stack is read-only already.
            case 0x98 -> top();
            default -> container(code);
        }
        return true;
    }

    private void container(int code) throws IOException {
        switch (code) {
            case ')' -> push(new Object[0]);
            case 't' -> push(sinceMark().toArray());
            case 0x85 -> push(last(1));
            case 0x86 -> push(last(2));
            case 0x87 -> push(last(3));
            case ']', 0x8f -> push(new ArrayList<@Nullable Object>());
            case 'l', 0x91 -> push(sinceMark());
            case '}' -> push(new Dict());
            case 'd' -> {
                List<@Nullable Object> items = sinceMark();
                push(new Dict());
                putAll(items);
            }
            case 'a' -> {
                Object element = pop();
                elements().add(element);
            }
            case 'e', 0x90 -> {
                List<@Nullable Object> added = sinceMark();
                elements().addAll(added);
            }
            case 's' -> {
                Object value = pop();
                Object key = pop();
                items().put(key(key), value);
            }
            case 'u' -> putAll(sinceMark());
            case 'R', 0x81 -> {
                Object arguments = pop();
                push(called(pop(), (Object[]) required(arguments)));
            }
            case 0x92 -> {
                pop();
                Object arguments = pop();
                push(called(pop(), (Object[]) required(arguments)));
            }
            case 'o' -> {
                List<@Nullable Object> parts = sinceMark();
                Object type = parts.removeFirst();
                push(called(type, parts.toArray()));
            }
            case 'i' -> {
                Name type = new Name(line(), line());
                push(called(type, sinceMark().toArray()));
            }
            case 'b' -> build(pop());
            default ->
                throw new PyTorchException(
                        file,
                        "the pickle has instruction " + code
                                + (code > ' ' && code < 127 ? " ('" + (char) code + "')" : ""),
                        "those of protocols 0 to " + NEWEST + ": the file is damaged, fetch it again");
        }
    }

    private void requireProtocol(int protocol) throws PyTorchException {
        if (protocol > NEWEST) {
            throw new PyTorchException(
                    file,
                    "the pickle is of protocol " + protocol,
                    "at most " + NEWEST + ": save it again with torch.save, whose pickle_protocol is 2 by default");
        }
    }

    private static Object required(@Nullable Object value) {
        if (value == null) {
            throw new IllegalArgumentException("None where a name or a tuple is expected");
        }
        return value;
    }

    private void push(@Nullable Object value) {
        if (value != null && !(value instanceof Number) && !(value instanceof Boolean)) {
            objects++;
        }
        stack.add(value);
    }

    private @Nullable Object pop() {
        top();
        return stack.removeLast();
    }

    private @Nullable Object top() {
        if (stack.size() <= (marks.isEmpty() ? 0 : marks.getLast())) {
            throw new IllegalArgumentException("nothing is on the stack");
        }
        return stack.getLast();
    }

    private List<@Nullable Object> sinceMark() {
        if (marks.isEmpty()) {
            throw new IllegalArgumentException("no mark is on the stack");
        }
        List<@Nullable Object> above = stack.subList(marks.removeLast(), stack.size());
        List<@Nullable Object> values = new ArrayList<>(above);
        above.clear();
        return values;
    }

    private @Nullable Object[] last(int count) {
        @Nullable Object[] values = new Object[count];
        for (int i = count - 1; i >= 0; i--) {
            values[i] = pop();
        }
        return values;
    }

    private void remember(int index) {
        objects++;
        memo.put(index, top());
    }

    private @Nullable Object remembered(int index) {
        if (!memo.containsKey(index)) {
            throw new IllegalArgumentException("nothing was remembered as " + index);
        }
        return memo.get(index);
    }

    @SuppressWarnings("unchecked") // only this class makes lists, and they may hold any value
    private List<@Nullable Object> elements() throws PyTorchException {
        return switch (top()) {
            case Made made -> made.elements;
            case List<?> list -> (List<@Nullable Object>) list;
            case null, default -> throw unexpected("elements for " + kind(top()), "elements of lists and sets only");
        };
    }

    private Dict items() throws PyTorchException {
        return switch (top()) {
            case Made made -> made.items;
            case Dict dict -> dict;
            case null, default -> throw unexpected("items for " + kind(top()), "items of dicts only");
        };
    }

    private void putAll(List<@Nullable Object> items) throws PyTorchException {
        Dict dict = items();
        for (int i = 0; i < items.size(); i += 2) {
            dict.put(key(items.get(i)), items.get(i + 1));
        }
    }

    private Object key(@Nullable Object key) {
        if (key instanceof String || key instanceof Number || key instanceof Boolean) {
            return key;
        }
        objects++;
        return new Key(key);
    }

    /** Appends a key's text for a tensor's name, up to about {@link #MAX_KEY} characters. */
    private static void name(StringBuilder out, @Nullable Object key, int depth) {
        switch (key) {
            case null -> out.append("None");
            case String text -> out.append(text, 0, Math.clamp(MAX_KEY + 1L - out.length(), 0, text.length()));
            case Number number -> out.append(number);
            case Boolean truth -> out.append(truth);
            case Name name -> out.append(name);
            case Object[] tuple
            when depth < 3 -> {
                for (int i = 0; i < tuple.length && out.length() <= MAX_KEY; i++) {
                    out.append(i == 0 ? "" : ".");
                    name(out, tuple[i], depth + 1);
                }
            }
            case Made made -> {
                out.append(made.by).append('(');
                if (made.arguments.length == 1 && depth < 3) {
                    name(out, made.arguments[0], depth + 1);
                }
                out.append(')');
            }
            default -> out.append(kind(key));
        }
    }

    private @Nullable Object called(@Nullable Object callee, Object[] arguments) {
        return switch (callee) {
            case Name name -> names.call(name, arguments);
            case Made made -> new Made(made.by, arguments);
            case null, default -> throw new IllegalArgumentException("a call of " + kind(callee));
        };
    }

    private void build(@Nullable Object state) throws PyTorchException {
        switch (top()) {
            case Made made -> made.state = state;
            case Dict dict -> dict.attributes = state;
            case String text -> throw unexpected("attributes for " + kind(text), "attributes of objects");
            case null -> throw unexpected("attributes for None", "attributes of objects");
            // Attributes of a tensor are not values: skip them.
            default -> {}
        }
    }

    private Object number(int code) throws IOException {
        return switch (code) {
            case 'I' -> {
                String digits = line().strip();
                yield digits.equals("00") ? (Object) false : digits.equals("01") ? (Object) true : whole(digits);
            }
            case 'L' -> {
                String digits = line().strip();
                yield whole(digits.endsWith("L") ? digits.substring(0, digits.length() - 1) : digits);
            }
            case 'J' -> (long) bytes.get(INT, take(Integer.BYTES));
            case 'K' -> (long) unsigned(1);
            case 'M' -> (long) unsigned(2);
            case 'F' -> real(line().strip());
            case 'G' -> bytes.get(DOUBLE, take(Double.BYTES));
            default -> {
                long length = length(code == 0x8a ? 1 : Integer.BYTES);
                long begin = take(length);
                if (length > MAX_NUMBER) {
                    yield Double.NaN;
                }
                byte[] digits = bytes.asSlice(begin, length).toArray(ValueLayout.JAVA_BYTE);
                for (int i = 0; i < digits.length / 2; i++) {
                    byte first = digits[i];
                    digits[i] = digits[digits.length - 1 - i];
                    digits[digits.length - 1 - i] = first;
                }
                yield whole(digits.length == 0 ? BigInteger.ZERO : new BigInteger(digits));
            }
        };
    }

    private static Object whole(String digits) {
        return digits.length() > MAX_NUMBER ? (Object) Double.NaN : whole(new BigInteger(digits));
    }

    private static Number whole(BigInteger number) {
        return number.bitLength() < Long.SIZE ? (Number) number.longValue() : number;
    }

    /** Parses a number; Python writes infinity and NaN differently from Java. */
    private static double real(String text) {
        return switch (text) {
            case "inf" -> Double.POSITIVE_INFINITY;
            case "-inf" -> Double.NEGATIVE_INFINITY;
            case "nan", "-nan" -> Double.NaN;
            default -> Double.parseDouble(text);
        };
    }

    private Object text(int code) throws IOException {
        return switch (code) {
            // Names contain no escapes, so keep them unchanged.
            case 'S' -> {
                String quoted = line();
                yield quoted.length() < 2 ? quoted : quoted.substring(1, quoted.length() - 1);
            }
            case 'V' -> line();
            case 'T' -> text(Integer.BYTES, StandardCharsets.ISO_8859_1);
            case 'U' -> text(1, StandardCharsets.ISO_8859_1);
            case 'X' -> text(Integer.BYTES, StandardCharsets.UTF_8);
            case 0x8c -> text(1, StandardCharsets.UTF_8);
            default -> text(Long.BYTES, StandardCharsets.UTF_8);
        };
    }

    private Object text(int width, Charset charset) throws IOException {
        long length = length(width);
        long begin = take(length);
        return length > MAX_TEXT
                ? new Opaque("a text of " + length + " bytes")
                : new String(bytes.asSlice(begin, length).toArray(ValueLayout.JAVA_BYTE), charset);
    }

    private String line() throws IOException {
        long begin = position;
        while (bytes.get(ValueLayout.JAVA_BYTE, take(1)) != '\n') {
            if (position - begin > MAX_LINE) {
                throw new EOFException("a line of more than " + MAX_LINE + " bytes");
            }
        }
        return new String(
                bytes.asSlice(begin, position - begin - 1).toArray(ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8);
    }

    private int unsigned(int width) throws IOException {
        long at = take(width);
        int value = Byte.toUnsignedInt(bytes.get(ValueLayout.JAVA_BYTE, at));
        return width == 1 ? value : value | Byte.toUnsignedInt(bytes.get(ValueLayout.JAVA_BYTE, at + 1)) << Byte.SIZE;
    }

    private long length(int width) throws IOException {
        return width == 1
                ? unsigned(1)
                : width == Integer.BYTES
                        ? Integer.toUnsignedLong(bytes.get(INT, take(width)))
                        : bytes.get(LONG, take(width));
    }

    /** Returns the position of the next {@code count} bytes; throws if fewer are left. */
    private long take(long count) throws IOException {
        if (count < 0 || count > bytes.byteSize() - position) {
            throw unexpected(
                    "a text or number of " + Long.toUnsignedString(count) + " bytes", "one that ends with the pickle");
        }
        long begin = position;
        position += count;
        return begin;
    }

    /** Describes a value in a few words. */
    static String kind(@Nullable Object value) {
        return switch (value) {
            case null -> "None";
            case String text -> "the text " + quote(text);
            case Long number -> "the number " + number;
            case Number number -> "a number";
            case Boolean truth -> "a truth value";
            case Object[] tuple -> "a tuple of " + tuple.length;
            case List<?> list -> "a list";
            case Map<?, ?> map -> "a dict";
            case Name name -> "the name '" + name + "'";
            case Made made -> "an object of '" + made.by + "'";
            case Opaque opaque -> opaque.what;
            default -> "a tensor or storage";
        };
    }

    private PyTorchException unexpected(String found, String expected) {
        return new PyTorchException(file, "the pickle has " + found, expected);
    }
}
