package org.metaflowmaps.models.vision.text;

import java.text.Normalizer;
import java.util.Locale;

/** What tokenizers do to a text before they split it. */
final class TextCleaning {
    private TextCleaning() {}

    /** Repairs the text, replaces character references, joins white space, lower-cases the whole text. */
    static String openClip(String text) {
        String repaired = HtmlReferences.unescape(HtmlReferences.unescape(TextRepair.repair(text)));
        // Java, like Python, lower-cases a sigma at a word's end to ς.
        return joined(repaired).toLowerCase(Locale.ROOT);
    }

    /** Composes characters, makes one space of each run of white space, lower-cases each character alone. */
    static String huggingFace(String text) {
        String composed = Normalizer.normalize(text, Normalizer.Form.NFC);
        return lowerCaseEach(composed.replaceAll("\\p{IsWhite_Space}+", " "));
    }

    /** Lower-cases each code point alone, so that a sigma is always σ. */
    static String lowerCaseEach(String text) {
        StringBuilder result = new StringBuilder(text.length());
        text.codePoints().forEach(c -> result.append(Character.toString(c).toLowerCase(Locale.ROOT)));
        return result.toString();
    }

    private static String joined(String text) {
        StringBuilder result = new StringBuilder(text.length());
        boolean space = false;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (isPythonSpace(c)) {
                space = true;
                continue;
            }
            if (space && !result.isEmpty()) {
                result.append(' ');
            }
            space = false;
            result.append(c);
        }
        return result.toString();
    }

    /** Returns whether Python's {@code str.split} splits here: white space, and four separators among the controls. */
    static boolean isPythonSpace(int c) {
        return (c >= 0x09 && c <= 0x0d)
                || (c >= 0x1c && c <= 0x20)
                || c == 0x85
                || c == 0xa0
                || c == 0x1680
                || (c >= 0x2000 && c <= 0x200a)
                || c == 0x2028
                || c == 0x2029
                || c == 0x202f
                || c == 0x205f
                || c == 0x3000;
    }
}
