package org.metaflowmaps.steering.particle;

import org.metaflowmaps.models.sampler.Noise;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.value.SteeringNoise;
import org.metaflowmaps.steering.value.SteeringNoise.Use;

/** The noise of some candidates of each item, for the base sampler. */
final class Candidates implements Noise {
    private final SteeringNoise noise;
    private final int first;
    private final int count;
    private int calls;

    Candidates(SteeringNoise noise, int first, int count) {
        this.noise = noise;
        this.first = first;
        this.count = count;
    }

    @Override
    public Tensor next() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor made = noise.normal(calls == 0 ? Use.START : Use.DIFFUSION, calls++, first, count);
            Shape item = made.shape().from(2);
            return scope.keep(made.reshape(item.prepend(made.size(0) * count)));
        }
    }
}
