package org.metaflowmaps.cli.option;

import java.io.IOException;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.steering.reward.LatentDecoder;
import org.metaflowmaps.steering.reward.RewardSpec;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** What rewards of images need besides their text: a prompt, an autoencoder. */
public final class RewardInputOption {
    private static final int MOST = 4096;

    /** What happens to decoded pixels outside [0, 1]. */
    enum Clamp {
        straight_through(LatentDecoder.Clamp.STRAIGHT_THROUGH),
        exact(LatentDecoder.Clamp.EXACT),
        none(LatentDecoder.Clamp.NONE);

        private final LatentDecoder.Clamp clamp;

        Clamp(LatentDecoder.Clamp clamp) {
            this.clamp = clamp;
        }
    }

    @Mixin
    private final PromptOption prompt = new PromptOption();

    @Mixin
    private final VaeOption vae = new VaeOption();

    @Option(
            names = "--clamp",
            description = "For --vae, pixels outside [0, 1]: ${COMPLETION-CANDIDATES}. straight_through clamps them"
                    + " and keeps their gradient, exact gives them none. Default: ${DEFAULT-VALUE}.")
    private Clamp clamp = Clamp.straight_through;

    @Option(
            names = "--reward-batch",
            paramLabel = "N",
            description =
                    "Images that --vae decodes and networks score at once with gradients, four times as many without;"
                            + " more need more memory. Default: ${DEFAULT-VALUE}.")
    private int atOnce = 4;

    /**
     * Throws if an option is out of range, or the reward needs another one.
     *
     * @throws IllegalArgumentException with the option
     */
    public void check(RewardSpec spec) {
        if (atOnce < 1 || atOnce > MOST) {
            throw new IllegalArgumentException("--reward-batch " + atOnce + " is out of range: give 1 to " + MOST);
        }
        if (spec.needs(RewardSpec.Input.TEXT) && prompt.isMissing()) {
            throw new IllegalArgumentException("--reward " + spec
                    + " compares images with a text: give it as --prompt, such as --prompt 'a photo of a {}'");
        }
    }

    /** Returns the text of rewards. */
    public PromptOption prompt() {
        return prompt;
    }

    /** Returns the number of images that are decoded and scored at once. */
    public int atOnce() {
        return atOnce;
    }

    /** Loads the autoencoder for a map: see {@link VaeOption#open}. */
    public @Nullable LatentDecoder latents(CheckpointOption checkpoint, MetaFlowMap map, Device device)
            throws IOException {
        return vae.open(checkpoint, map, clamp.clamp, device);
    }
}
