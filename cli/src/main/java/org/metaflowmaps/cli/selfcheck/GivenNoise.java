package org.metaflowmaps.cli.selfcheck;

import java.util.function.IntFunction;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.steering.value.SteeringNoise;

/**
 * The noise of a reference case.
 *
 * @param start (rows, item shape)
 * @param draws of a step: (rows, draws, item shape)
 * @param diffusion of a step: (rows, item shape)
 */
record GivenNoise(Tensor start, IntFunction<Tensor> draws, IntFunction<Tensor> diffusion) implements SteeringNoise {
    @Override
    public Tensor normal(Use use, int step, int first, int count) {
        return switch (use) {
            case START -> start.unsqueeze(1);
            case DRAW -> draws.apply(step).narrow(1, first, count);
            case DIFFUSION -> diffusion.apply(step).unsqueeze(1);
            case TRANSITION, RESAMPLING -> throw new UnsupportedOperationException("this case has no noise for " + use);
        };
    }

    @Override
    public Tensor uniform(Use use, int step) {
        throw new UnsupportedOperationException("this case has no uniform numbers");
    }
}
