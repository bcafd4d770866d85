package org.metaflowmaps.models.checkpoint;

import com.google.common.base.Preconditions;
import java.util.List;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.MlpConfig;
import org.metaflowmaps.models.model.NetworkConfig;
import org.metaflowmaps.models.model.TransformerConfig;

/**
 * A network from a file, with its settings.
 *
 * @param map closed together with this
 * @param config the network's shape and settings
 * @param layout the family and prefix of the network in the file
 * @param described true if the file contains the settings, false if they come from its tensors and the given settings
 * @param classNames names of the classes by label; empty if the file has none
 */
public record LoadedNetwork(
        MetaFlowMap map, NetworkConfig config, CheckpointLayout layout, boolean described, List<String> classNames)
        implements AutoCloseable {
    /** Copies the names. */
    public LoadedNetwork {
        Preconditions.checkNotNull(map, "loaded network: map is null");
        Preconditions.checkNotNull(config, "loaded network: config is null");
        Preconditions.checkNotNull(layout, "loaded network: layout is null");
        classNames = List.copyOf(classNames);
    }

    /** Returns a one-line description for the user. */
    public String found() {
        return layout + ": "
                + switch (config) {
                    case TransformerConfig image ->
                        image.hiddenSize() + " wide, " + image.depth() + " blocks, " + image.encoderDepth()
                                + " of them in the first stage, " + image.numHeads() + " heads, items "
                                + image.inChannels() + "x" + image.inputSize() + "x"
                                + image.inputSize() + " in patches of " + image.patchSize() + ", " + image.labelDim()
                                + " classes, time 0 is "
                                + (image.zeroData() ? "data" : "noise")
                                + (image.classScales().isEmpty() ? "" : ", guidance scales " + image.classScales())
                                + (image.contextScales().isEmpty() ? "" : ", context scales " + image.contextScales());
                    case MlpConfig vector ->
                        vector.width() + " wide, " + vector.depth() + " blocks, items of " + vector.dimension()
                                + " numbers, " + vector.labelDim() + " classes";
                };
    }

    /** Frees the network. */
    @Override
    public void close() {
        map.close();
    }
}
