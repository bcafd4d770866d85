package org.metaflowmaps.runtime;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/**
 * A file that is not a valid safetensors file; the message names the file, the tensor, what was found and what is expected.
 *
 * <p>It is an {@link IOException} because callers that open a file must expect a missing and a damaged file, and handle both alike.
 */
public final class SafetensorsException extends IOException {
    private static final long serialVersionUID = 1L;
    private static final int SHOWN = 100;

    SafetensorsException(String file, @Nullable String tensor, String found, String expected) {
        super(file + (tensor == null ? "" : ": tensor " + quote(tensor)) + ": " + found + "; expected " + expected);
    }

    /** A name or value from a file, made fit for a message: quoted, short, on one line. */
    static String quote(String text) {
        return "'" + clean(text, SHOWN) + "'";
    }

    /** At most that many characters of a text, with question marks for what would break a line or a terminal. */
    static String clean(String text, int length) {
        StringBuilder out = new StringBuilder();
        text.chars().limit(length).forEach(c ->
                out.append(Character.isISOControl(c) || Character.isSurrogate((char) c) ? '?' : (char) c));
        return text.length() <= length ? out.toString() : out.append("...").toString();
    }
}
