package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import java.util.Optional;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Decodes states that are pixels in some range: maps the range to [0, 1], optionally resizes, and clamps.
 *
 * <p>The clamp is straight-through: its derivative is 1, because the true derivative 0 would give saturated pixels no
 * gradient (method §7).
 *
 * @param low the state that becomes 0
 * @param high the state that becomes 1, other than {@code low}
 * @param resize to the reward's size, if it differs from the map's
 */
public record PixelDecoder(double low, double high, Optional<Resize> resize) implements Decoder {
    /** The method of resizing. */
    public enum Method {
        /** Nearest neighbour. */
        NEAREST,
        /** Bilinear, with antialiasing when images shrink. */
        BILINEAR
    }

    /**
     * A new size.
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
     * @throws IllegalArgumentException if the states have a wrong number of dimensions
     */
    @Override
    public Tensor decode(Tensor states) {
        Preconditions.checkArgument(
                states.dim() == 4,
                "decoder: states are %s, expected pixels (N, C, H, W): for a reward of states use Decoder.IDENTITY",
                states);
        try (TensorScope scope = TensorScope.open()) {
            Tensor images = states.sub(low).div(high - low);
            if (resize.isPresent()) {
                images = resized(images, resize.get());
            }
            Tensor clamped = images.detach().clampMin(0).clampMax(1);
            // images - images.detach() is exactly 0 and passes the gradient.
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
