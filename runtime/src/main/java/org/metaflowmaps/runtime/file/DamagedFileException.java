package org.metaflowmaps.runtime.file;

import java.io.IOException;

/**
 * A file that is damaged or of another format; the message names the file, what was found and what is expected.
 *
 * <p>It is an {@link IOException} so that one handler covers damaged and missing files.
 */
public class DamagedFileException extends IOException {
    private static final long serialVersionUID = 1L;

    /** Makes the exception with its whole text. */
    protected DamagedFileException(String message) {
        super(message);
    }

    /** Makes the exception with its whole text and its cause. */
    protected DamagedFileException(String message, Throwable cause) {
        super(message, cause);
    }
}
