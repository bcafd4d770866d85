package org.metaflowmaps.bindings;

/** Thrown when a native library is missing, of a wrong version, or could not be loaded; the text says what to do. */
public final class NativeLibraryException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    NativeLibraryException(String message) {
        super(message);
    }

    NativeLibraryException(String message, Throwable cause) {
        super(message, cause);
    }
}
