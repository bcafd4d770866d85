package org.metaflowmaps.training.data;

import org.metaflowmaps.runtime.file.DamagedFileException;

/** Thrown if an IDX file is invalid or not supported; the message names the file and what to do. */
public final class IdxException extends DamagedFileException {
    private static final long serialVersionUID = 1L;

    IdxException(String source, String problem) {
        super(source + ": " + problem);
    }

    IdxException(String source, String problem, Throwable cause) {
        super(source + ": " + problem, cause);
    }
}
