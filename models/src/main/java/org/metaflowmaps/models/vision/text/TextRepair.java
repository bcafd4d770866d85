package org.metaflowmaps.models.vision.text;

import java.text.Normalizer;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * Repairs texts from web pages as the Python library ftfy 6.3 does with its default settings, which open_clip uses:
 * HTML character references, wrongly decoded characters, control characters of Windows-1252, ligatures, characters of
 * half and full width, quotes, line breaks, terminal escapes, control characters, and composition (NFC).
 */
final class TextRepair {
    private static final Pattern SINGLE_QUOTES = Pattern.compile("[\u02bc\u2018-\u201b]");
    private static final Pattern DOUBLE_QUOTES = Pattern.compile("[\u201c-\u201f]");
    private static final Pattern LINE_BREAKS = Pattern.compile("\r\n|[\r\u0085\u2028\u2029]");
    private static final Pattern ESCAPES = Pattern.compile("\033\\[[0-9;]*[a-zA-Z]");
    private static final Pattern LONE_SURROGATES = Pattern.compile("[\ud800-\udfff]");
    private static final Pattern CONTROLS =
            Pattern.compile("[\\x00-\\x08\\x0b\\x0e-\\x1f\\x7f\\u206a-\\u206f\\ufeff\\ufff9-\\ufffc]");

    /** Digraphs that exist for old character sets; those of U+FB00 to U+FB06 are ligatures. */
    private static final Map<Character, String> DIGRAPHS = Map.ofEntries(
            Map.entry('\u0132', "IJ"),
            Map.entry('\u0133', "ij"),
            Map.entry('\u0149', "\u02bcn"),
            Map.entry('\u01c4', "D\u017d"),
            Map.entry('\u01c5', "D\u017e"),
            Map.entry('\u01c6', "d\u017e"),
            Map.entry('\u01c7', "LJ"),
            Map.entry('\u01c8', "Lj"),
            Map.entry('\u01c9', "lj"),
            Map.entry('\u01ca', "NJ"),
            Map.entry('\u01cb', "Nj"),
            Map.entry('\u01cc', "nj"),
            Map.entry('\u01f1', "DZ"),
            Map.entry('\u01f2', "Dz"),
            Map.entry('\u01f3', "dz"),
            Map.entry('\ufb00', "ff"),
            Map.entry('\ufb01', "fi"),
            Map.entry('\ufb02', "fl"),
            Map.entry('\ufb03', "ffi"),
            Map.entry('\ufb04', "ffl"),
            Map.entry('\ufb05', "\u017ft"),
            Map.entry('\ufb06', "st"));

    private TextRepair() {}

    /** Repairs each line alone. */
    static String repair(String text) {
        StringBuilder result = new StringBuilder(text.length());
        boolean references = true;
        for (int at = 0; at < text.length(); ) {
            int newline = text.indexOf('\n', at);
            int end = newline < 0 ? text.length() : newline + 1;
            String line = text.substring(at, end);
            // From the first line with a bracket on, the text may be HTML itself.
            references &= line.indexOf('<') < 0;
            result.append(line(line, references));
            at = end;
        }
        return result.toString();
    }

    private static String line(String text, boolean references) {
        String before;
        String now = text;
        do {
            before = now;
            now = once(now, references);
        } while (!now.equals(before));
        return now;
    }

    private static String once(String text, boolean references) {
        String now = references ? HtmlReferences.unescapeEnded(text) : text;
        now = Mojibake.repair(now);
        now = replaced(now);
        now = SINGLE_QUOTES.matcher(DOUBLE_QUOTES.matcher(now).replaceAll("\"")).replaceAll("'");
        now = LINE_BREAKS.matcher(now).replaceAll("\n");
        now = LONE_SURROGATES.matcher(now).replaceAll("\ufffd");
        now = ESCAPES.matcher(now).replaceAll("");
        now = CONTROLS.matcher(now).replaceAll("");
        return Normalizer.normalize(now, Normalizer.Form.NFC);
    }

    /** Replaces controls of Windows-1252, digraphs, and characters of half and full width. */
    private static String replaced(String text) {
        StringBuilder result = new StringBuilder(text.length());
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            char known = c >= 0x80 && c <= 0x9f ? SingleBytes.WINDOWS_1252.decode(c) : c;
            String digraph = DIGRAPHS.get(known);
            if (digraph != null) {
                result.append(digraph);
            } else if (known == '\u3000' || (known > '\uff00' && known < '\ufff0')) {
                result.append(Normalizer.normalize(String.valueOf(known), Normalizer.Form.NFKC));
            } else {
                result.append(known);
            }
        }
        return result.toString();
    }
}
