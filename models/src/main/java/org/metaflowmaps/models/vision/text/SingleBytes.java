package org.metaflowmaps.models.vision.text;

import java.nio.charset.Charset;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * A character set of one byte per character. Bytes that Windows' sets do not define are control characters with the
 * same number, as in browsers, and byte 0x1a is U+FFFD, which shows a lost byte.
 */
final class SingleBytes {
    static final SingleBytes WINDOWS_1252 = new SingleBytes("windows-1252");

    /** Those that resemble Latin 1, in which letters have the bytes that begin characters of UTF-8. */
    static final List<SingleBytes> LATIN = List.of(
            new SingleBytes("ISO-8859-1"),
            WINDOWS_1252,
            new SingleBytes("windows-1251"),
            new SingleBytes("windows-1250"),
            new SingleBytes("windows-1253"),
            new SingleBytes("windows-1254"),
            new SingleBytes("windows-1257"));

    /** In the order in which a repair tries them; the last two only if this Java has them. */
    static final List<SingleBytes> ALL = Stream.concat(
                    LATIN.stream(),
                    Stream.of("ISO-8859-2", "x-MacRoman", "IBM437")
                            .filter(Charset::isSupported)
                            .map(SingleBytes::new))
            .toList();

    private static final int LOST = 0x1a;

    private final String name;
    private final char[] characters = new char[256];
    private final Map<Character, Byte> bytes = new HashMap<>();

    private SingleBytes(String name) {
        this.name = name;
        boolean windows = name.startsWith("windows");
        byte[] upper = new byte[128];
        for (int i = 0; i < 128; i++) {
            upper[i] = (byte) (128 + i);
            characters[i] = (char) i;
        }
        String decoded = new String(upper, Charset.forName(name));
        for (int i = 0; i < 128; i++) {
            char c = decoded.charAt(i);
            characters[128 + i] = windows && c == '\ufffd' ? (char) (128 + i) : c;
        }
        if (windows) {
            characters[LOST] = '\ufffd';
        }
        for (int i = 0; i < 256; i++) {
            bytes.put(characters[i], (byte) i);
        }
    }

    boolean isWindows() {
        return name.startsWith("windows");
    }

    boolean isMacRoman() {
        return name.equals("x-MacRoman");
    }

    char decode(int unsigned) {
        return characters[unsigned];
    }

    /** Returns the bytes of a text, or null if a character has none. */
    byte @Nullable [] encode(String text) {
        byte[] result = new byte[text.length()];
        for (int i = 0; i < result.length; i++) {
            Byte b = bytes.get(text.charAt(i));
            if (b == null) {
                return null;
            }
            result[i] = b;
        }
        return result;
    }
}
