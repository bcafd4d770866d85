package org.metaflowmaps.steering.value;

import org.metaflowmaps.bindings.MetaFlowMapsException;

/**
 * Thrown if a reward returned NaN or positive infinity; the message names the reward, the step, the item and the
 * particle.
 */
public final class BadScoreException extends MetaFlowMapsException {
    private static final long serialVersionUID = 1L;

    BadScoreException(String reward, boolean isNan, int step, String row, String diagnosis) {
        super("reward " + reward + " gave " + (isNan ? "NaN" : "positive infinity") + " at step " + step + " for " + row
                + ": scores must be finite, or negative infinity for excluded samples. Check the reward on"
                + " that item alone, and the strength (lambda)" + (diagnosis.isEmpty() ? "" : ". " + diagnosis));
    }
}
