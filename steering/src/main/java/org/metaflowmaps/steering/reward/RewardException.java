package org.metaflowmaps.steering.reward;

import org.metaflowmaps.bindings.MetaFlowMapsException;

/** Thrown if a reward breaks the rules of {@link Reward}; the message names the reward and the rule. */
public final class RewardException extends MetaFlowMapsException {
    private static final long serialVersionUID = 1L;

    RewardException(String message) {
        super(message);
    }

    RewardException(String message, Throwable cause) {
        super(message, cause);
    }
}
