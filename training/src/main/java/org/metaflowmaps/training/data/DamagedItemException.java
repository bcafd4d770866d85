package org.metaflowmaps.training.data;

import org.metaflowmaps.runtime.file.DamagedFileException;

/** An item of the data that cannot be used, such as a damaged file; the message names it, what is wrong and the cure. */
public final class DamagedItemException extends DamagedFileException {
    private static final long serialVersionUID = 1L;

    /** An item that cannot be used. */
    public DamagedItemException(String message) {
        super(message);
    }

    /** An item that cannot be used, for what reading it threw. */
    public DamagedItemException(String message, Throwable cause) {
        super(message, cause);
    }
}
