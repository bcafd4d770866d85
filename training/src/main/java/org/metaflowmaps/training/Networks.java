package org.metaflowmaps.training;

import java.io.IOException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.TensorFile;
import org.metaflowmaps.training.config.ModelConfig;
import org.metaflowmaps.training.model.CheckpointLayout;
import org.metaflowmaps.training.model.FlowMapTransformer;
import org.metaflowmaps.training.model.InferredConfig;
import org.metaflowmaps.training.model.MetaFlowMap;
import org.metaflowmaps.training.model.NetworkFile;
import org.metaflowmaps.training.model.TransformerConfig;

/** The network that a configuration describes. */
final class Networks {
    private Networks() {}

    /**
     * A network to train, owned by the caller.
     *
     * @throws IllegalArgumentException if this machine has no memory for it
     */
    static MetaFlowMap initialised(ModelConfig config, Device device, RandomSource random) {
        return config.network().initialised(device, random);
    }

    /** A network to fill from a file, owned by the caller. */
    static MetaFlowMap zeros(ModelConfig config, Device device) {
        return config.network().zeros(device);
    }

    /**
     * A trained network from a run's checkpoint or from a public file, to begin a network with.
     *
     * @param like the network it is wanted for: a public file's network is taken to have its settings
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged, or holds no network of a known layout
     * @throws IllegalArgumentException if the network it holds is another, or its clock can be seen to run the other way
     */
    static MetaFlowMap load(Path path, ModelConfig like, Device device) throws IOException {
        try (TensorFile file = TensorFile.open(path)) {
            TransformerConfig wanted = like.transformer();
            CheckpointLayout layout = layout(path, file);
            if (wanted == null || saysItself(file, layout)) {
                return Checkpoint.load(path, device);
            }
            requireClock(path, layout, wanted.zeroData(), "init", "model.transformer.is_zero_data");
            TransformerConfig plain = layout.family() == CheckpointLayout.Family.MFM ? wanted : wanted.withoutContext();
            return read(path, file, layout, plain.withLearnSigma(InferredConfig.of(file, layout).learnSigma()), device);
        }
    }

    /**
     * A trained network from a run's checkpoint or from a public file, to learn from: of whatever size.
     *
     * @param like the network that learns: settings that a public file's shapes do not show are taken from it
     * @param zeroData which way a public file's clock runs; null: the file's names have to show it
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged, or holds no network of a known layout
     * @throws IllegalArgumentException if the clock can be seen to run the other way, or is not known
     */
    static MetaFlowMap teacher(Path path, ModelConfig like, @Nullable Boolean zeroData, Device device) throws IOException {
        try (TensorFile file = TensorFile.open(path)) {
            TransformerConfig wanted = like.transformer();
            CheckpointLayout layout = layout(path, file);
            if (wanted == null || saysItself(file, layout)) {
                MetaFlowMap network = Checkpoint.load(path, device);
                boolean own = network instanceof FlowMapTransformer transformer && transformer.config().zeroData();
                if (zeroData != null && zeroData != own) {
                    network.close();
                    throw new IllegalArgumentException("config: teacher.is_zero_data is " + zeroData + ", but " + path
                            + " says of its own network that it is " + own + ": leave the setting null");
                }
                return network;
            }
            boolean clock = zeroData != null ? zeroData : layout.zeroData().orElseThrow(() -> new IllegalArgumentException(
                    "config: teacher.file names " + path + " (" + layout + "), which does not say which way its clock runs: set "
                    + "teacher.is_zero_data=true if it has data at time 0 and noise at 1, as DMF's, or false if it has noise at 0"));
            TransformerConfig found;
            try {
                found = InferredConfig.of(file, layout).config(wanted, clock);
            } catch (IllegalArgumentException e) {
                throw new IOException(path + ": " + e.getMessage(), e);
            }
            return read(path, file, layout, found, device);
        }
    }

    static CheckpointLayout layout(Path path, TensorFile file) throws IOException {
        try {
            return CheckpointLayout.detect(file).orElseThrow(() -> new IOException("the file holds no network of a known layout"));
        } catch (IOException e) {
            throw new IOException(path + ": " + e.getMessage(), e);
        }
    }

    /** True of a file that says what network it holds. */
    static boolean saysItself(TensorFile file, CheckpointLayout layout) {
        return layout.family() == CheckpointLayout.Family.OTHER || Checkpoint.saysNetwork(file);
    }

    private static void requireClock(Path path, CheckpointLayout layout, boolean zeroData, String setting, String cure) {
        boolean known = layout.zeroData().orElse(zeroData);
        if (known != zeroData) {
            throw new IllegalArgumentException("config: " + setting + " names " + path + ", which by its names (" + layout
                    + ") is a network whose clock runs from " + (known ? "data to noise" : "noise to data")
                    + ", but model.transformer.is_zero_data is " + zeroData + ": set " + cure + "=" + known
                    + ", or, if the names mislead, write the network without its logvar_linear: mfm convert FILE OUT");
        }
    }

    private static MetaFlowMap read(Path path, TensorFile file, CheckpointLayout layout, TransformerConfig config, Device device)
            throws IOException {
        try {
            return NetworkFile.read(config, file, path, layout, device);
        } catch (IOException e) {
            throw new IOException(path + ": " + e.getMessage(), e);
        }
    }
}
