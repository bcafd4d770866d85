package org.metaflowmaps.bindings;

/** Thrown when a native library is missing, of a wrong version, or could not be loaded; the text says what to do. */
public final class NativeLibraryException extends MetaFlowMapsException {
    private static final long serialVersionUID = 1L;

    NativeLibraryException(String message) {
        super(oneLine(message));
    }

    NativeLibraryException(String message, Throwable cause) {
        super(oneLine(message), cause);
    }

    /** Joins the lines of the system loader's message. */
    private static String oneLine(String message) {
        return message.strip().replaceAll("\\s*\\R\\s*", " ");
    }
}
