package org.metaflowmaps.training;

import org.metaflowmaps.bindings.MetaFlowMapsException;

/** A run that cannot go on; the message says at which step and why, and what was kept. */
public final class TrainingException extends MetaFlowMapsException {
    private static final long serialVersionUID = 1L;

    TrainingException(String message) {
        super(message);
    }

    TrainingException(String message, Throwable cause) {
        super(message, cause);
    }
}
