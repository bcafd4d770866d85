package org.metaflowmaps.steering.particle;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.steering.value.Coefficient;

/**
 * How particles move from one time to the next: by the memoryless diffusion dX = [2b - X/t]dt + √(2(1 - t)/t)dB, exactly or in Euler and
 * Maruyama's steps (method §8.1).
 */
public sealed interface Transition {
    /**
     * The exact transition: one posterior draw, then the Gaussian bridge between it and the state. It is as exact as the map, for steps of
     * any length.
     *
     * @param map gives the draw; not owned
     */
    record PosteriorDraw(MetaFlowMap map) implements Transition {
        /** Checks that the map has contexts. */
        public PosteriorDraw {
            Preconditions.checkArgument(
                    map.isContextual(),
                    "transition: this map is one of a flow, without contexts, and knows no posteriors: a meta flow map"
                            + " is needed (layout meta-flow-map)");
        }
    }

    /**
     * Euler and Maruyama's steps. From time 0, where the drift is infinite, the first step draws from N(t'·D, (1 - t')²), where D is the
     * denoiser; the last step returns the denoiser, without noise.
     *
     * @param drift b
     * @param coefficient σ²/2 of the noise; {@link Coefficient#limit} infinite for the memoryless diffusion
     */
    record EulerMaruyama(Drift drift, Coefficient coefficient) implements Transition {
        /** Checks for null. */
        public EulerMaruyama {
            Preconditions.checkNotNull(drift, "transition: the drift is null");
            Preconditions.checkNotNull(coefficient, "transition: the coefficient is null");
        }
    }

    /**
     * The same steps with σ²·∇log ψ added to the drift; the weights make up for it by the ratio of both densities. Drift and gradient are
     * those of the potential, which must have them. The first step from time 0 and the last step are not guided.
     *
     * @param coefficient σ²/2, the same as the potential's
     */
    record Guided(Coefficient coefficient) implements Transition {
        /** Checks for null. */
        public Guided {
            Preconditions.checkNotNull(coefficient, "transition: the coefficient is null");
        }
    }
}
