package org.metaflowmaps.training.data;

import org.metaflowmaps.runtime.file.DamagedFileException;

/**
 * Thrown for an unusable item of the data, such as a damaged file; the message names it, the problem and what to do.
 */
public final class DamagedItemException extends DamagedFileException {
    private static final long serialVersionUID = 1L;

    /** Makes the exception with its whole text. */
    public DamagedItemException(String message) {
        super(message);
    }

    /** Makes the exception with its whole text and its cause. */
    public DamagedItemException(String message, Throwable cause) {
        super(message, cause);
    }
}
