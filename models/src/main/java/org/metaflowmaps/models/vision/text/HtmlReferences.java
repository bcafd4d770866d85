package org.metaflowmaps.models.vision.text;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * Replaces HTML's character references, such as that of the ampersand.
 *
 * <p>The names are those of the HTML standard (section "Named character references"): each line of
 * {@code entities.txt} is a name, {@code *} if it is also valid without a semicolon, and its code points.
 */
final class HtmlReferences {
    private static final Pattern REFERENCE =
            Pattern.compile("&(?:#(?:[0-9]+|[xX][0-9a-fA-F]+);?|[^\\t\\n\\f <&#;]{1,32};?)");

    private static final Pattern WITH_SEMICOLON = Pattern.compile("&#?[0-9A-Za-z]{1,24};");

    private static final Map<String, String> NAMES = new HashMap<>();
    private static final Set<String> WITHOUT_SEMICOLON = new HashSet<>();

    static {
        for (String line : resource()) {
            int space = line.indexOf(' ');
            String name = line.substring(0, space);
            if (name.endsWith("*")) {
                name = name.substring(0, name.length() - 1);
                WITHOUT_SEMICOLON.add(name);
            }
            int second = line.indexOf(' ', space + 1);
            String value = second < 0
                    ? character(line.substring(space + 1))
                    : character(line.substring(space + 1, second)) + character(line.substring(second + 1));
            NAMES.put(name, value);
        }
    }

    /** Names in capitals, such as EACUTE, that the standard does not define. */
    private static final Map<String, String> CAPITALS = NAMES.keySet().stream()
            .filter(name -> name.equals(name.toLowerCase(Locale.ROOT)))
            .filter(name -> {
                String reference = "&" + name.toUpperCase(Locale.ROOT) + ";";
                return unescape(reference).equals(reference);
            })
            .collect(Collectors.toMap(
                    name -> name.toUpperCase(Locale.ROOT), name -> text(name).toUpperCase(Locale.ROOT)));

    private HtmlReferences() {}

    private static List<String> resource() {
        try (InputStream in = HtmlReferences.class.getResourceAsStream("entities.txt")) {
            return new String(Objects.requireNonNull(in, "entities.txt").readAllBytes(), StandardCharsets.US_ASCII)
                    .lines()
                    .toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String character(String hexadecimal) {
        return Character.toString(Integer.parseInt(hexadecimal, 16));
    }

    private static String text(String name) {
        return Objects.requireNonNull(NAMES.get(name), name);
    }

    /** Replaces all references once, as browsers do: also those without a semicolon and beginnings of names. */
    static String unescape(String text) {
        if (text.indexOf('&') < 0) {
            return text;
        }
        return REFERENCE.matcher(text).replaceAll(match -> Matcher.quoteReplacement(replacement(match.group())));
    }

    private static String replacement(String reference) {
        boolean ended = reference.endsWith(";");
        String body = reference.substring(1, reference.length() - (ended ? 1 : 0));
        if (body.charAt(0) == '#') {
            return numbered(body);
        }
        String whole = NAMES.get(body);
        if (whole != null && (ended || WITHOUT_SEMICOLON.contains(body))) {
            return whole;
        }
        // The longest beginning that is valid without a semicolon, as in &notit.
        for (int length = body.length(); length > 1; length--) {
            String name = body.substring(0, length);
            if (WITHOUT_SEMICOLON.contains(name)) {
                return text(name) + reference.substring(1 + length);
            }
        }
        return reference;
    }

    private static String numbered(String body) {
        boolean hexadecimal = body.charAt(1) == 'x' || body.charAt(1) == 'X';
        String digits = body.substring(hexadecimal ? 2 : 1).replaceFirst("^0+(?=.)", "");
        long number = digits.length() > 9 ? Long.MAX_VALUE : Long.parseLong(digits, hexadecimal ? 16 : 10);
        if (number == 0 || number > Character.MAX_CODE_POINT || (number >= 0xd800 && number <= 0xdfff)) {
            return "\ufffd";
        }
        int point = (int) number;
        if (point >= 0x80 && point <= 0x9f) {
            // The standard reads these numbers as Windows-1252.
            return String.valueOf(SingleBytes.WINDOWS_1252.decode(point));
        }
        boolean dropped = point < 0x09
                || point == 0x0b
                || (point >= 0x0e && point <= 0x1f)
                || point == 0x7f
                || (point >= 0xfdd0 && point <= 0xfdef)
                || (point & 0xfffe) == 0xfffe;
        return dropped ? "" : Character.toString(point);
    }

    /** Replaces only references that end with a semicolon, and Latin letters' names in capitals. */
    static String unescapeEnded(String text) {
        if (text.indexOf('&') < 0) {
            return text;
        }
        return WITH_SEMICOLON.matcher(text).replaceAll(match -> Matcher.quoteReplacement(ended(match.group())));
    }

    private static String ended(String reference) {
        String name = reference.substring(1, reference.length() - 1);
        if (name.charAt(0) == '#') {
            String result = unescape(reference);
            return result.indexOf(';') >= 0 ? reference : result;
        }
        String value = NAMES.get(name);
        if (value == null) {
            value = CAPITALS.get(name);
        }
        return value == null ? reference : value;
    }
}
