package org.metaflowmaps.training.loss;

import org.metaflowmaps.models.model.MetaFlowMap;

/**
 * A loss that makes a flow map's long jumps consistent with its diagonal (method §4.3). No loss takes a derivative
 * along the context. Targets are detached.
 *
 * <p>A loss depends only on the pair: it draws no random numbers and reads no values back.
 */
@FunctionalInterface
public interface Consistency {
    /**
     * Computes prediction and target for a batch of pairs.
     *
     * @param map the map to train
     * @return in the innermost open scope
     */
    Regression of(MetaFlowMap map, Pair pair);
}
