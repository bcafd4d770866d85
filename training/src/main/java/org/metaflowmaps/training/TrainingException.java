package org.metaflowmaps.training;

import org.metaflowmaps.bindings.MetaFlowMapsException;

/** Thrown if a run cannot continue; the message names the step, the reason and the last checkpoint. */
public final class TrainingException extends MetaFlowMapsException {
    private static final long serialVersionUID = 1L;

    TrainingException(String message) {
        super(message);
    }

    TrainingException(String message, Throwable cause) {
        super(message, cause);
    }
}
