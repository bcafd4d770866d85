package org.metaflowmaps.training;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Objects;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.TensorFile;
import org.metaflowmaps.training.config.ModelConfig;
import org.metaflowmaps.training.model.CheckpointLayout;
import org.metaflowmaps.training.model.FlowMapTransformer;
import org.metaflowmaps.training.model.InferredConfig;
import org.metaflowmaps.training.model.MetaFlowMap;
import org.metaflowmaps.training.model.MlpFlowMap;
import org.metaflowmaps.training.model.NetworkFile;
import org.metaflowmaps.training.model.TransformerConfig;

/** The network that a configuration describes. */
final class Networks {
    private Networks() {}

    /** A network to train, owned by the caller. */
    static MetaFlowMap initialised(ModelConfig config, Device device, RandomSource random) {
        TransformerConfig transformer = config.transformer();
        return transformer != null
                ? FlowMapTransformer.initialised(transformer, device, random)
                : MlpFlowMap.initialised(Objects.requireNonNull(config.mlp()), device, random);
    }

    /** A network to fill from a file, owned by the caller. */
    static MetaFlowMap zeros(ModelConfig config, Device device) {
        TransformerConfig transformer = config.transformer();
        return transformer != null ? FlowMapTransformer.zeros(transformer, device) : MlpFlowMap.zeros(Objects.requireNonNull(config.mlp()), device);
    }

    /**
     * A trained network from a run's checkpoint or from a public file.
     *
     * @param like the network it is wanted for: of a public file, which does not say, heads, stages, scales and clock are taken to be its
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged, or holds no network of a known layout
     * @throws IllegalArgumentException if the network it holds is another
     */
    static MetaFlowMap load(Path path, ModelConfig like, Device device) throws IOException {
        try (TensorFile file = TensorFile.open(path)) {
            TransformerConfig wanted = like.transformer();
            CheckpointLayout layout = CheckpointLayout.detect(file).orElseThrow(() -> new IOException(path + " holds no network of a known layout"));
            if (wanted == null || layout.family() == CheckpointLayout.Family.OTHER || Checkpoint.saysNetwork(file)) {
                return Checkpoint.load(path, device);
            }
            TransformerConfig plain = layout.family() == CheckpointLayout.Family.MFM ? wanted : wanted.withoutContext();
            FlowMapTransformer network = FlowMapTransformer.zeros(plain.withLearnSigma(InferredConfig.of(file, layout).learnSigma()), device);
            try {
                NetworkFile.load(network, file, layout, false);
                return network;
            } catch (IOException e) {
                network.close();
                throw new IOException(path + ": " + e.getMessage(), e);
            } catch (RuntimeException e) {
                network.close();
                throw e;
            }
        }
    }
}
