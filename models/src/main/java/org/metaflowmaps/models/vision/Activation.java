package org.metaflowmaps.models.vision;

import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/** The activation of a transformer's blocks, which its weights do not show: with the wrong one all scores are wrong. */
public enum Activation {
    /** x·Φ(x): CLIP networks of LAION, HPS v2, PickScore and BLIP. */
    GELU {
        @Override
        public Tensor of(Tensor input) {
            return Torch.gelu(input);
        }
    },
    /** x·σ(1.702 x): OpenAI's CLIP networks. */
    QUICK_GELU {
        @Override
        public Tensor of(Tensor input) {
            return ImageLayers.block(input, x -> x.mul(x.mul(1.702).sigmoid()));
        }
    };

    /** Applies it to each element. */
    public abstract Tensor of(Tensor input);

    /**
     * Returns the activation of a name in Hugging Face's configurations.
     *
     * @param name {@code gelu} or {@code quick_gelu}
     * @throws IllegalArgumentException for another name
     */
    public static Activation named(String name) {
        return switch (name) {
            case "gelu" -> GELU;
            case "quick_gelu" -> QUICK_GELU;
            default -> throw new IllegalArgumentException("activation '" + name + "': expected gelu or quick_gelu");
        };
    }
}
