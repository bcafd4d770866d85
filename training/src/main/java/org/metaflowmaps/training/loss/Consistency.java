package org.metaflowmaps.training.loss;

import org.metaflowmaps.models.model.MetaFlowMap;

/**
 * A loss that ties a flow map's long jumps to its diagonal (method §4.3). The context is passive in all of them: it is an input, but no
 * derivative is taken along it. Targets are stopped: they carry no gradient graph.
 *
 * <p>A loss computes from the pair alone: it draws no random number and reads no value back.
 */
@FunctionalInterface
public interface Consistency {
    /**
     * Prediction and target for a batch of pairs.
     *
     * @param map what is trained
     * @return in the innermost open scope
     */
    Regression of(MetaFlowMap map, Pair pair);
}
