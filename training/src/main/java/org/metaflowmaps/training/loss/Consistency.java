package org.metaflowmaps.training.loss;

import org.metaflowmaps.models.model.MetaFlowMap;

/**
 * The losses that tie a flow map's long jumps to its diagonal (method §4.3). The context is passive in all of them: it is an
 * input, but no derivative is taken along it. Targets are stopped: they carry no gradient graph.
 */
public sealed interface Consistency
        permits AlphaFlow, Eulerian, ImprovedMeanFlow, Lagrangian, Progressive, Semigroup, Shortcut, TerminalVelocity {
    /**
     * Prediction and target for a batch of pairs.
     *
     * @param map what is trained
     * @return in the innermost open scope
     */
    Regression of(MetaFlowMap map, Pair pair);
}
