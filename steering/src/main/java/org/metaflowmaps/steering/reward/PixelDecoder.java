package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import java.util.Optional;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Decodes states that are pixels in some range: changes the range to [0, 1], resizes if asked to, and clamps.
 *
 * <p>The clamp is straight-through: its derivative is taken as 1, because the true one, 0, would leave saturated pixels without a
 * gradient (method §7).
 *
 * @param low the state that becomes 0
 * @param high the state that becomes 1, other than {@code low}
 * @param resize to the size that a reward takes, if it needs another than the map's
 */
public record PixelDecoder(double low, double high, Optional<Resize> resize) implements Decoder {
    /** How pixels of another size are computed. */
    public enum Method {
        /** Each pixel is one of the old ones. */
        NEAREST,
        /** Neighbours are mixed, all that a pixel covers where images shrink. */
        BILINEAR
    }

    /**
     * Another size.
     *
     * @param method how
     * @param height in pixels, at least 1
     * @param width in pixels, at least 1
     */
    public record Resize(Method method, int height, int width) {
        /** Checks the size. */
        public Resize {
            Preconditions.checkNotNull(method, "decoder: the method of resizing is null");
            Preconditions.checkArgument(
                    height > 0 && width > 0,
                    "decoder: the new size is %s x %s, expected at least 1 x 1",
                    height,
                    width);
        }
    }

    /** Checks the range. */
    public PixelDecoder {
        Preconditions.checkArgument(
                Double.isFinite(low) && Double.isFinite(high) && low != high,
                "decoder: the range is from %s to %s, expected two different finite numbers",
                low,
                high);
        Preconditions.checkNotNull(resize, "decoder: resize is null; for none, give Optional.empty()");
    }

    /** Decodes states in [-1, 1] without a change of size. */
    public PixelDecoder() {
        this(-1, 1, Optional.empty());
    }

    /**
     * Decodes states.
     *
     * @param states (N, C, H, W), float32 or float64
     * @return (N, C, height, width) in [0, 1], in the innermost open scope
     * @throws IllegalArgumentException if the states have another number of dimensions
     */
    @Override
    public Tensor decode(Tensor states) {
        Preconditions.checkArgument(
                states.dim() == 4,
                "decoder: states are %s, expected pixels (N, C, H, W); a reward of states takes Decoder.IDENTITY",
                states);
        try (TensorScope scope = TensorScope.open()) {
            Tensor images = states.sub(low).div(high - low);
            if (resize.isPresent()) {
                images = resized(images, resize.get());
            }
            Tensor clamped = images.detach().clampMin(0).clampMax(1);
            // images - images is exactly 0 and brings the gradient.
            return scope.keep(images.requiresGrad() ? clamped.add(images.sub(images.detach())) : clamped);
        }
    }

    private static Tensor resized(Tensor images, Resize size) {
        return switch (size.method()) {
            case NEAREST -> Torch.upsampleNearest2d(images, size.height(), size.width());
            case BILINEAR -> Torch.upsampleBilinear2d(images, size.height(), size.width());
        };
    }
}
