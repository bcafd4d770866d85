package org.metaflowmaps.steering.value;

import org.metaflowmaps.bindings.MetaFlowMapsException;

/** A reward that gave NaN or positive infinity; the message names it, the step, the item and the particle. */
public final class BadScoreException extends MetaFlowMapsException {
    private static final long serialVersionUID = 1L;

    BadScoreException(String reward, boolean isNan, int step, String row) {
        super("reward " + reward + " gave " + (isNan ? "NaN" : "positive infinity") + " at step " + step + " for " + row
                + ": a score is a finite number, or negative infinity for what must not be drawn. Check the reward on"
                + " that item alone, and the strength (lambda)");
    }
}
