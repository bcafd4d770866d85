package org.metaflowmaps.models.vision.text;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Repairs characters that came from UTF-8 bytes read as another character set, such as two for one accented letter.
 *
 * <p>A text is changed only if it has sequences that hardly occur otherwise ({@link MojibakeSigns}), and its bytes in a
 * single-byte character set are UTF-8.
 */
final class Mojibake {
    /** The characters of UTF-8 sequences with a space for a lost byte A0; not after a letter of a garbled word. */
    private static final Pattern EMBEDDED = embedded();

    /** Bytes as characters of Latin 1. A space in place of byte A0 inside a sequence of UTF-8. */
    private static final Pattern LOST_A0 = Pattern.compile("[\u00c2\u00c3\u00c5\u00ce\u00d0\u00d9] "
            + "|[\u00e2\u00e3] [\u0080-\u0084\u0086-\u009f\u00a1-\u00bf]"
            + "|[\u00e0-\u00e3][\u0080-\u0084\u0086-\u009f\u00a1-\u00bf] "
            + "|\u00f0(?: [\u0080-\u00bf]{2}|[\u0080-\u00bf] [\u0080-\u00bf]|[\u0080-\u00bf]{2} )");

    /** A word "à", whose byte A0 and the space after it became one space, except before Portuguese endings. */
    private static final Pattern LOST_A0_WORD = Pattern.compile("\u00c3 (?! |quele|quela|quilo|s )");

    /** Sequences of UTF-8 with bytes that are lost (1A), or one that became a question mark. */
    private static final Pattern LOST = Pattern.compile("[\u00c2-\u00df]\u001a|[\u00c2\u00c3]\\?"
            + "|\u00ed[\u00a0-\u00af](?:[\u001a?]\u00ed[\u00b0-\u00bf][\u001a?\u0080-\u00bf]"
            + "|[\u001a?\u0080-\u00bf]\u00ed[\u00b0-\u00bf][\u001a?])"
            + "|[\u00e0-\u00ef](?:[\u001a?][\u001a\u0080-\u00bf]|[\u001a\u0080-\u00bf][\u001a?])"
            + "|[\u00f0-\u00f4](?:[\u001a?][\u001a\u0080-\u00bf]{2}"
            + "|[\u001a\u0080-\u00bf][\u001a?][\u001a\u0080-\u00bf]|[\u001a\u0080-\u00bf]{2}[\u001a?])"
            + "|\u001a");

    /** UTF-8 of the replacement character, as characters of Latin 1. */
    private static final String REPLACEMENT = "\u00ef\u00bf\u00bd";

    /** Two surrogates that were encoded one by one. */
    private static final Pattern SURROGATES =
            Pattern.compile("\u00ed([\u00a0-\u00af])([\u0080-\u00bf])\u00ed([\u00b0-\u00bf])([\u0080-\u00bf])");

    private Mojibake() {}

    private static Pattern embedded() {
        String two = letters(0xc2, 0xdf);
        String three = letters(0xe0, 0xef);
        // Characters beyond plane 0 begin with F0, or F3 for flags; F1 and F2 are unused.
        String four = letters(0xf0, 0xf0) + letters(0xf3, 0xf3);
        String next = letters(0x80, 0xbf);
        String certain = next.replaceAll("[\u2013-\u2015\u2018\u2019\u201a\u201c-\u201e\u2022\u2026]", "");
        return Pattern.compile("(?<![" + quoted(certain) + "])(?:[" + quoted(two) + "][ " + quoted(next) + "]|["
                + quoted(three) + "][ " + quoted(next) + "]{2}|[" + quoted(four) + "][ " + quoted(next) + "]{3})+");
    }

    private static String quoted(String characters) {
        return "\\Q" + characters + "\\E";
    }

    private static String letters(int first, int last) {
        StringBuilder letters = new StringBuilder();
        for (SingleBytes set : SingleBytes.LATIN) {
            for (int b = first; b <= last; b++) {
                letters.append(set.decode(b));
            }
        }
        return letters.toString();
    }

    /** Returns the text with repaired characters, or the text itself. */
    static String repair(String text) {
        String before;
        String now = text;
        do {
            before = now;
            now = step(now);
        } while (!now.equals(before));
        return now;
    }

    private static String step(String text) {
        if (text.chars().allMatch(c -> c < 0x80) || !MojibakeSigns.in(text)) {
            return text;
        }
        for (SingleBytes set : SingleBytes.ALL) {
            byte[] bytes = set.encode(text);
            if (bytes != null) {
                String decoded = decoded(set, new String(bytes, StandardCharsets.ISO_8859_1));
                if (decoded != null) {
                    return decoded;
                }
            }
        }
        String partly = EMBEDDED.matcher(text).replaceAll(match -> Matcher.quoteReplacement(part(match, text)));
        if (!partly.equals(text)) {
            return partly;
        }
        return controlsOfWindows(text);
    }

    private static String part(MatchResult match, String text) {
        String part = match.group();
        return part.length() < text.length() && MojibakeSigns.in(part) ? repair(part) : part;
    }

    /** Replaces C1 controls, which nobody types, by the characters that Windows-1252 has there. */
    private static String controlsOfWindows(String text) {
        StringBuilder result = new StringBuilder();
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            result.append(c >= 0x80 && c <= 0x9f ? SingleBytes.WINDOWS_1252.decode(c) : c);
        }
        return result.toString();
    }

    /** Decodes bytes, given as characters of Latin 1, as UTF-8; returns null if they are not. */
    private static @Nullable String decoded(SingleBytes set, String bytes) {
        String now = bytes;
        if (!set.isMacRoman()) {
            now = LOST_A0_WORD.matcher(now).replaceAll("\u00c3\u00a0 ");
            now = LOST_A0.matcher(now).replaceAll(match -> match.group().replace(' ', '\u00a0'));
        }
        if (set.isWindows()) {
            now = LOST.matcher(now).replaceAll(REPLACEMENT);
        }
        now = now.replace("\u00c0\u0080", "\0");
        now = SURROGATES.matcher(now).replaceAll(Mojibake::pair);
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(now.getBytes(StandardCharsets.ISO_8859_1)))
                    .toString();
        } catch (CharacterCodingException e) {
            return null;
        }
    }

    private static String pair(MatchResult match) {
        char high = (char) (0xd000
                | (match.group(1).charAt(0) & 0x3f) << 6
                | (match.group(2).charAt(0) & 0x3f));
        char low = (char) (0xd000
                | (match.group(3).charAt(0) & 0x3f) << 6
                | (match.group(4).charAt(0) & 0x3f));
        byte[] utf8 = Character.toString(Character.toCodePoint(high, low)).getBytes(StandardCharsets.UTF_8);
        return Matcher.quoteReplacement(new String(utf8, StandardCharsets.ISO_8859_1));
    }
}
