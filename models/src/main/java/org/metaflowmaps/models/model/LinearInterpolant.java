package org.metaflowmaps.models.model;

import org.metaflowmaps.runtime.Tensor;

/** The path I_t = (1 - t)·I_0 + t·I_1 from noise I_0 to data I_1. */
public final class LinearInterpolant {
    private LinearInterpolant() {}

    /**
     * Returns the state at each item's time.
     *
     * @param noise I_0: (B, ...)
     * @param data I_1: (B, ...)
     * @param time t: (B) in [0, 1]
     * @return I_t: (B, ...)
     */
    public static Tensor state(Tensor noise, Tensor data, Tensor time) {
        return noise.lerp(data, MetaFlowMap.perItem(time, noise));
    }

    /** The velocity dI_t/dt = I_1 - I_0, which does not depend on t. */
    public static Tensor velocity(Tensor noise, Tensor data) {
        return data.sub(noise);
    }
}
