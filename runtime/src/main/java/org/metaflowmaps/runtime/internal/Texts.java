package org.metaflowmaps.runtime.internal;

/** Makes untrusted text, such as names in a file, safe for a message or a terminal. */
public final class Texts {
    private static final int SHOWN = 100;

    private Texts() {}

    /** Returns a name or value in quotes, cut to {@value #SHOWN} characters, on one line. */
    public static String quote(String text) {
        return "'" + clean(text, SHOWN) + "'";
    }

    /**
     * Returns at most {@code length} characters of a text, with question marks for line breaks and control characters.
     */
    public static String clean(String text, int length) {
        StringBuilder out = new StringBuilder();
        text.chars()
                .limit(length)
                .forEach(
                        c -> out.append(Character.isISOControl(c) || Character.isSurrogate((char) c) ? '?' : (char) c));
        return text.length() <= length ? out.toString() : out.append("...").toString();
    }

    /** Returns the whole text with question marks for control characters; letters of every script are kept. */
    public static String oneLine(String text) {
        return text.replaceAll("\\p{Cntrl}", "?");
    }
}
