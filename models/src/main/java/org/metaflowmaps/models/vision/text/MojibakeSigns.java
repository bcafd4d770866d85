package org.metaflowmaps.models.vision.text;

import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/**
 * Recognises sequences of characters that hardly occur in correct texts, but do if UTF-8 was read as another character
 * set. The kinds of characters and the sequences are those of the Python library ftfy 6.3.
 */
final class MojibakeSigns {
    private static final String BAD =
            "\u00a4\u00a6\u00a8\u00aa\u00ac\u00af\u00b8\u00ba\u0192\u02c6\u02c7\u02d8\u02db\u02dc\u2020\u2021\u2030"
                    + "\u2310\u25ca\ufffd";
    private static final String LAW = "\u00a7\u00b6";
    private static final String MONEY = "\u00a2\u00a3\u00a5\u20a7\u20ac";
    private static final String OPENING =
            "\u00a1\u00a9\u00ab\u00bf\u0384\u0385\u2018\u201a\u201c\u201e\u2022\u2039\uf8ff";
    private static final String CLOSING = "\u00ae\u00bb\u02dd\u201d\u203a\u2122";
    private static final String NUMERIC = "\u00b1-\u00b3\u00b5\u00b9\u00bc-\u00be\u00d7\u00f7\u2044\u2116\u2202\u2206"
            + "\u220f\u2211\u221a\u221e\u2229\u222b\u2248\u2260\u2261\u2264\u2265";
    private static final String COMMON = "\u00a0\u00ad\u00b4\u00b7\u2013-\u2015\u2019\u2026";

    /** Letters of the sets for Central Europe and the Baltic that are not in Latin 1, in both cases. */
    private static final String UPPER = "À-ÑØÜÝĀĂĄĆČĎĐĒĖĘĚĞĢĪİĶĹĻĽŁŃŅŇŒŘŚŞŠŢŤŮŰŸŹŻŽҐ";

    private static final String LOWER = "ß-ñüāăąćčďđēėęěğģīįķĺļľłœŕśşšťźżžґﬁﬂ";

    /** Greek and Cyrillic letters. */
    private static final String UPPER_OTHER = "ÞΆΈ-ΊΌΎΏΑ-ΫЁ-Я";

    private static final String LOWER_OTHER = "ά-ωа-џ";
    private static final String BOX = "│┌┐┘├┤┬┼═-╬▀▄█▌▐-▓";

    /** Letters that faces drawn with characters have as eyes or mouths. */
    private static final String FACES = "°Ò-ÖÙ-Üò-öø-üŌŐŪŲ";

    private static final Pattern SIGNS =
            Pattern.compile(String.join("|", sequences()), Pattern.UNICODE_CHARACTER_CLASS);

    private MojibakeSigns() {}

    /** Returns whether a text has such a sequence. */
    static boolean in(String text) {
        return SIGNS.matcher(text).find();
    }

    private static String any(String... kinds) {
        return "[" + String.join("", kinds) + "]";
    }

    private static List<String> sequences() {
        List<String> all = new ArrayList<>();
        all.add("[\u0080-\u009f]");
        byKind(all);
        byCharacter(all);
        return all;
    }

    private static void byKind(List<String> all) {
        String signs = LOWER + UPPER + BOX + OPENING + CLOSING + MONEY + NUMERIC + LAW;
        all.add(any(BAD) + any(signs, BAD));
        all.add(any(signs) + any(BAD));
        all.add("[a-zA-Z]" + any(LOWER_OTHER, UPPER_OTHER) + any(BAD));
        all.add(any(LOWER, LOWER_OTHER, BOX, CLOSING, MONEY, NUMERIC) + any(UPPER));
        all.add(any(BOX, CLOSING, MONEY, NUMERIC) + any(LOWER));
        all.add(any(LOWER, BOX, CLOSING) + any(MONEY));
        all.add("\\s" + any(UPPER) + any(MONEY));
        all.add(any(UPPER, BOX) + any(NUMERIC, LAW));
        all.add(any(LOWER, UPPER, BOX, MONEY, CLOSING) + any(OPENING) + any(NUMERIC));
        all.add(any(LOWER, UPPER, MONEY, NUMERIC, BOX, LAW) + any(CLOSING) + any(OPENING));
        all.add(any(MONEY, NUMERIC, BOX) + any(OPENING));
        all.add("[a-z]" + any(UPPER) + any(OPENING, MONEY));
        all.add(any(BOX) + any(FACES, CLOSING));
        all.add(any(LOWER, UPPER, MONEY, NUMERIC, OPENING, CLOSING, LAW) + any(BOX));
        all.add(any(LOWER, UPPER) + any(OPENING, CLOSING) + "\\w");
        all.add("[Œœ][^A-Za-z]");
        all.add(any(UPPER) + "°");
    }

    private static void byCharacter(List<String> all) {
        // Windows-1252: Latin letters, Arabic (two characters, because one is too common), scripts of South Asia.
        all.add("[ÂÃÎÐ]" + any("€œŠš¢£Ÿž\u00a0\u00ad®©°·»–—´", OPENING, CLOSING));
        all.add("×[²³]");
        String arabic = "[ØÙ]" + any(COMMON, MONEY, BAD, NUMERIC, OPENING, "ŸŠ®°µ»");
        all.add(arabic + arabic);
        all.add("à[²µ¹¼½¾]");
        all.add("Ã[\u00a0¡]");
        all.add("[a-z]\\s?[ÃÂ] ");
        all.add("^[ÃÂ] ");
        all.add(any("a-z.,?!", CLOSING) + "Â" + any(" ", OPENING, CLOSING));
        // Mac Roman.
        all.add("√[±∂†≠®™´≤≥¥µø]");
        all.add("≈[°¢]");
        all.add("‚Ä[ìîïòôúùû†°¢π]");
        all.add("‚[âó][àä°ê]");
        // Windows-1251, 1253 and 1257.
        all.add("вЂ");
        all.add("[ВГРС]" + any("\u0080-\u009f", BAD, OPENING, CLOSING, MONEY, "°µ") + "[ВГРС]");
        all.add("ГўВЂВ.[A-Za-z ]");
        all.add("β€[™\u00a0Ά\u00ad®°]");
        all.add("[ΒΓΞΟ]" + any("\u0080-\u009f", BAD, OPENING, CLOSING, MONEY, "°") + "[ΒΓΞΟ]");
        all.add("ā€");
    }
}
