package org.metaflowmaps.models.sampler;

import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.MlpFlowMap;

/** How many items a map should be given at once, so that sampling many takes no more memory than sampling some. */
public final class SamplingMemory {
    /** Memory of one pass; fixed, so that results do not depend on what is free. */
    private static final double BYTES = 1 << 30;

    private SamplingMemory() {}

    /** The number of items, at least 1, that one pass without gradients takes about 1 GiB for. */
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
