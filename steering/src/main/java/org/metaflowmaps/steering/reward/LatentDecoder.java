package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.models.vision.Autoencoder;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Decodes latents to images by an autoencoder, a few at a time. Owns the autoencoder.
 *
 * <p>The graph of an image of 256 x 256 pixels needs more than a gigabyte: give a {@link Tilt} few items at once.
 */
public final class LatentDecoder implements Decoder, AutoCloseable {
    /** Images of 256 x 256 pixels without graph need a fifth of a gigabyte each. */
    private static final long AT_ONCE = 16;

    private static final int LATENTS = 0;
    private static final int IMAGES = 1;

    private final Autoencoder autoencoder;
    private final LatentScaling scaling;
    private final LatentScaling own;
    private final Clamp clamp;
    private final Stages stages;

    /** What happens to decoded values outside [0, 1]. */
    public enum Clamp {
        /** They are clamped, and their gradient is that without a clamp, so that saturated pixels can recover. */
        STRAIGHT_THROUGH,
        /** They are clamped, and have no gradient: the steering of the public MFM code. */
        EXACT,
        /** They stay: the fine-tuning of the public MFM code. Rewards then get images outside [0, 1]. */
        NONE
    }

    /**
     * Makes a decoder.
     *
     * @param autoencoder closed with this decoder
     * @param scaling of the map's latents, from those of the autoencoder
     * @param clamp of decoded values
     */
    public LatentDecoder(Autoencoder autoencoder, LatentScaling scaling, Clamp clamp) {
        this.autoencoder = Preconditions.checkNotNull(autoencoder, "decoder: the autoencoder is null");
        this.scaling = Preconditions.checkNotNull(scaling, "decoder: the scaling is null");
        this.own = LatentScaling.of(autoencoder.scale(), autoencoder.shift());
        this.clamp = Preconditions.checkNotNull(clamp, "decoder: the clamp is null");
        this.stages = new Stages(
                autoencoder.parameters().values().device(),
                "the latents given to the autoencoder, so the map made it",
                "the autoencoder's images; if its precision is bfloat16, try float32");
    }

    /**
     * Loads an autoencoder in float32.
     *
     * @param file as for {@link Autoencoder#load}
     * @return owned by the caller
     * @throws IOException if the file is missing or damaged, or holds no autoencoder
     */
    public static LatentDecoder load(Path file, Device device) throws IOException {
        Autoencoder autoencoder = Autoencoder.load(file, DType.FLOAT32, device);
        return new LatentDecoder(
                autoencoder, LatentScaling.of(autoencoder.scale(), autoencoder.shift()), Clamp.STRAIGHT_THROUGH);
    }

    /** The autoencoder, not to be closed. */
    public Autoencoder autoencoder() {
        return autoencoder;
    }

    /**
     * Decodes latents.
     *
     * @param states (N, C, H, W), float32 or float64
     * @return (N, 3, factor · H, factor · W) of the states' type, in [0, 1] unless not clamped, in the innermost open
     *     scope
     * @throws IllegalArgumentException if the states are no latents of the autoencoder
     */
    @Override
    public Tensor decode(Tensor states) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor images = pixels(states).add(1).div(2);
            if (clamp == Clamp.NONE) {
                return scope.keep(images);
            }
            if (clamp == Clamp.EXACT) {
                return scope.keep(images.clampMin(0).clampMax(1));
            }
            Tensor clamped = images.detach().clampMin(0).clampMax(1);
            // images - images.detach() is exactly 0 and passes the gradient.
            return scope.keep(images.requiresGrad() ? clamped.add(images.sub(images.detach())) : clamped);
        }
    }

    /**
     * Decodes latents to images roughly in [-1, 1], without a clamp, as maps of pixels have them.
     *
     * @param states as for {@link #decode}
     */
    public Tensor pixels(Tensor states) {
        Preconditions.checkArgument(
                states.dim() == 4
                        && states.size(1) == autoencoder.latentChannels()
                        && states.dtype().isFloatingPoint(),
                "decoder: states are %s, expected latents (N, %s, H, W) of the autoencoder",
                states,
                autoencoder.latentChannels());
        try (TensorScope scope = TensorScope.open()) {
            stages.note(LATENTS, states);
            Tensor latents = scaling.equals(own) ? states : own.scaled(scaling.unscaled(states));
            List<Tensor> parts = new ArrayList<>();
            for (long from = 0; from < states.size(0); from += AT_ONCE) {
                try (TensorScope part = TensorScope.open()) {
                    Tensor some = latents.narrow(0, from, Math.min(AT_ONCE, states.size(0) - from));
                    parts.add(part.keep(autoencoder.decodeScaled(some).to(states.dtype())));
                }
            }
            Tensor images = parts.size() == 1 ? parts.getFirst() : Torch.cat(0, parts.toArray(Tensor[]::new));
            stages.note(IMAGES, images);
            return scope.keep(images);
        }
    }

    @Override
    public String diagnosis() {
        return stages.diagnosis();
    }

    @Override
    public void close() {
        stages.close();
        autoencoder.close();
    }
}
