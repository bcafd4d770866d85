package org.metaflowmaps.runtime.file;

/** Thrown if a file is not a readable NumPy archive; the message names the file, what was found and what to do. */
public final class NpzException extends DamagedFileException {
    private static final long serialVersionUID = 1L;

    NpzException(String file, String found, String expected) {
        super(file + ": " + found + "; expected " + expected);
    }

    NpzException(String file, String found, String expected, Throwable cause) {
        super(file + ": " + found + "; expected " + expected, cause);
    }
}
