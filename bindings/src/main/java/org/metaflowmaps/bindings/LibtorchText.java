package org.metaflowmaps.bindings;

import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Shortens libtorch's messages to what a user needs. */
public final class LibtorchText {
    /**
     * The end of libtorch's sentence: its C++ stack, or an empty line, after which it lists kernels and source files.
     */
    private static final Pattern END =
            Pattern.compile("\\s*(Exception raised from |frame #\\d|C\\+\\+ CapturedTraceback|\\R[ \\t]*\\R)");

    private static final Pattern SOURCE =
            Pattern.compile(" at \"[^\"]*\":\\d+|\\[enforce fail at [^]]*\\]( err == 0\\.)?");
    private static final Pattern SPACE = Pattern.compile("\\s+");

    private LibtorchText() {}

    /**
     * Returns libtorch's message on one line, without C++ stack, source file or list of kernels.
     *
     * @param text a message of libtorch, or null for none
     * @return the sentence, or "libtorch gave no reason"
     */
    public static String sentence(@Nullable String text) {
        String all = text == null ? "" : text.strip();
        String first = END.split(all, 2)[0];
        String line = SPACE.matcher(SOURCE.matcher(first).replaceAll(""))
                .replaceAll(" ")
                .strip();
        return line.isEmpty() ? "libtorch gave no reason" : line;
    }
}
