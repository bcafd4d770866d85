package org.metaflowmaps.bindings;

import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Thrown when a libtorch C function reports an error; the text is libtorch's own, on one line, after the name of what was called. */
public final class LibtorchException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** Where libtorch's sentence ends: at its C++ stack, or at an empty line, after which it lists kernels and source files. */
    private static final Pattern END = Pattern.compile("\\s*(Exception raised from |frame #\\d|C\\+\\+ CapturedTraceback|\\R[ \\t]*\\R)");
    private static final Pattern SOURCE = Pattern.compile(" at \"[^\"]*\":\\d+|\\[enforce fail at [^]]*\\]( err == 0\\.)?");
    private static final Pattern SPACE = Pattern.compile("\\s+");

    LibtorchException(String message) {
        super(message);
    }

    /**
     * What libtorch says, on one line, without C++ stack, source file or list of kernels.
     *
     * @param text a message of libtorch, or null for none
     * @return the sentence, or "libtorch gave no reason"
     */
    public static String sentence(@Nullable String text) {
        String all = text == null ? "" : text.strip();
        String first = END.split(all, 2)[0];
        String line = SPACE.matcher(SOURCE.matcher(first).replaceAll("")).replaceAll(" ").strip();
        return line.isEmpty() ? "libtorch gave no reason" : line;
    }
}
