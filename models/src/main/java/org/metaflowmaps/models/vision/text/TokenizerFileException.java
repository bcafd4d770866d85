package org.metaflowmaps.models.vision.text;

import java.nio.file.Path;
import org.metaflowmaps.runtime.file.DamagedFileException;

/** Thrown if a file is not a valid vocabulary; the message names the file, what was found and what is expected. */
public final class TokenizerFileException extends DamagedFileException {
    private static final long serialVersionUID = 1L;

    TokenizerFileException(Path file, String found, String expected) {
        super(file + ": " + found + "; expected " + expected);
    }

    TokenizerFileException(Path file, String found, String expected, Throwable cause) {
        super(file + ": " + found + "; expected " + expected, cause);
    }
}
