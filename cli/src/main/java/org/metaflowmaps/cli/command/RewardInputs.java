package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.CheckpointOption;
import org.metaflowmaps.cli.option.RewardInputOption;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.steering.reward.LatentDecoder;
import org.metaflowmaps.steering.reward.TextInputs;

/**
 * What rewards of one run share.
 *
 * @param latents the autoencoder, owned; null for none
 * @param texts for rewards by text and image
 * @param atOnce images that are decoded and scored at once
 */
record RewardInputs(@Nullable LatentDecoder latents, Optional<TextInputs> texts, int atOnce) implements AutoCloseable {
    /** No autoencoder and no text. */
    static final RewardInputs NONE = new RewardInputs(null, Optional.empty(), 0);

    /**
     * Opens the inputs that the options name.
     *
     * @param labels of the images that will be scored; empty for all classes
     */
    static RewardInputs of(
            RewardInputOption option, CheckpointOption checkpoint, MetaFlowMap map, long[] labels, Device device)
            throws IOException {
        Optional<TextInputs> texts = option.prompt().inputs(map, checkpoint.classNames(map), labels);
        return new RewardInputs(option.latents(checkpoint, map, device), texts, option.atOnce());
    }

    @Override
    public void close() {
        if (latents != null) {
            latents.close();
        }
    }
}
