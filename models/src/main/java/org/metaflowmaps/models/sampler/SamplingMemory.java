package org.metaflowmaps.models.sampler;

import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.MlpFlowMap;

/** Chooses the number of items per pass, so that memory does not grow with the number of samples. */
public final class SamplingMemory {
    /** Memory of one pass; fixed, so that results do not depend on free memory. */
    private static final double BYTES = 1 << 30;

    private SamplingMemory() {}

    /** Returns the number of items, at least 1, for which a pass without gradients needs about 1 GiB. */
    public static int itemsAtOnce(MetaFlowMap map) {
        double item = map.itemShape().numel();
        double floats = switch (map) {
            case FlowMapTransformer transformer -> transformer.config().silentFloats();
            case MlpFlowMap mlp -> mlp.config().silentFloats();
            default -> 16 * item;
        };
        return (int) Math.clamp(BYTES / (4 * (floats + 4 * item)), 1, 1 << 24);
    }
}
