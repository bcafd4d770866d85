package org.metaflowmaps.training;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Objects;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.training.model.FlowMapTransformer;
import org.metaflowmaps.training.model.MetaFlowMap;
import org.metaflowmaps.training.model.MlpFlowMap;
import org.metaflowmaps.training.model.TransformerConfig;

/** The network that a configuration describes. */
final class Networks {
    private Networks() {}

    /** A network to train, owned by the caller. */
    static MetaFlowMap initialised(TrainConfig.Model config, Device device, RandomSource random) {
        TransformerConfig transformer = config.transformer();
        return transformer != null
                ? FlowMapTransformer.initialised(transformer, device, random)
                : MlpFlowMap.initialised(Objects.requireNonNull(config.mlp()), device, random);
    }

    /** A network to fill from a file, owned by the caller. */
    static MetaFlowMap zeros(TrainConfig.Model config, Device device) {
        TransformerConfig transformer = config.transformer();
        return transformer != null ? FlowMapTransformer.zeros(transformer, device) : MlpFlowMap.zeros(Objects.requireNonNull(config.mlp()), device);
    }

    /**
     * A trained network, owned by the caller.
     *
     * @param like the network it is wanted for
     * @throws IOException if the file is missing, damaged, or does not say what network it holds
     */
    static MetaFlowMap load(Path file, TrainConfig.Model like, Device device) throws IOException {
        return Checkpoint.load(file, device);
    }
}
