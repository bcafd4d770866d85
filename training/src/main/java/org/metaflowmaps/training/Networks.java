package org.metaflowmaps.training;

import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.training.model.FlowMapTransformer;
import org.metaflowmaps.training.model.MetaFlowMap;

/** The network that a configuration describes. */
final class Networks {
    private Networks() {}

    /** A network to train, owned by the caller. */
    static MetaFlowMap initialised(TrainConfig.Model config, Device device, RandomSource random) {
        return FlowMapTransformer.initialised(config.transformer(), device, random);
    }

    /** A network to fill from a file, owned by the caller. */
    static MetaFlowMap zeros(TrainConfig.Model config, Device device) {
        return FlowMapTransformer.zeros(config.transformer(), device);
    }
}
