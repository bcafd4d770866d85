package org.metaflowmaps.training.data;

import org.metaflowmaps.runtime.file.DamagedFileException;

/** The contents of an IDX file are not what the format, or this reader, allows; the message names the file and the remedy. */
public final class IdxException extends DamagedFileException {
    private static final long serialVersionUID = 1L;

    IdxException(String source, String problem) {
        super(source + ": " + problem);
    }

    IdxException(String source, String problem, Throwable cause) {
        super(source + ": " + problem, cause);
    }
}
