package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import java.util.Arrays;
import java.util.List;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/** A linear measurement A of an image, for {@link InverseProblem}. Owned by the caller. */
public final class Measurement implements AutoCloseable {
    /** The Gaussian kernel is cut off after this many standard deviations. */
    private static final double REACH = 4;

    private static final double WIDEST = 1000;
    private static final int LARGEST = 4096;

    private final String name;
    private final UnaryOperator<Tensor> operator;
    private final UnaryOperator<Tensor> visible;
    private final double share;
    private final List<Constant> owned;

    private Measurement(
            String name,
            UnaryOperator<Tensor> operator,
            UnaryOperator<Tensor> visible,
            double share,
            List<Constant> owned) {
        this.name = name;
        this.operator = operator;
        this.visible = visible;
        this.share = share;
        this.owned = owned;
    }

    /**
     * Some pixels: A x is x where the mask is 1, and 0 elsewhere.
     *
     * @param mask (H, W) or (C, H, W) of floating point: 1 for seen, 0 for hidden, at least one 1; copied
     * @throws IllegalArgumentException for a wrong shape, type or value
     */
    public static Measurement inpainting(Tensor mask) {
        Preconditions.checkArgument(
                (mask.dim() == 2 || mask.dim() == 3) && mask.dtype().isFloatingPoint(),
                "inpainting: the mask is %s, expected (H, W) or (C, H, W) of floating point",
                mask);
        double seen;
        try (TensorScope scope = TensorScope.open()) {
            seen = mask.detach().to(DType.FLOAT64).mean().item();
            double binary = mask.detach().sub(0.5).abs().sub(0.5).abs().max().item();
            Preconditions.checkArgument(
                    binary == 0 && seen > 0,
                    "inpainting: the mask has other values than 0 and 1, or only 0: expected 1 for visible pixels,"
                            + " at least one, and 0 for hidden ones");
        }
        Constant kept = Constant.copyOf(mask);
        UnaryOperator<Tensor> hide = images -> {
            try (TensorScope scope = TensorScope.open()) {
                return scope.keep(images.mul(kept.like(images)));
            }
        };
        return new Measurement("inpainting", hide, hide, seen, List.of(kept));
    }

    /**
     * The means of adjacent squares of pixels.
     *
     * @param factor the square's side, at least 1; it divides height and width
     */
    public static Measurement downsampling(int factor) {
        Preconditions.checkArgument(factor > 0, "down-sampling: the factor is %s, expected at least 1", factor);
        String name = "down-sampling by " + factor;
        return new Measurement(
                name,
                images -> {
                    Shape shape = images.shape();
                    Preconditions.checkArgument(
                            shape.size(2) % factor == 0 && shape.size(3) % factor == 0,
                            "%s: images have shape %s, expected a height and a width that the factor divides",
                            name,
                            shape);
                    try (TensorScope scope = TensorScope.open()) {
                        return scope.keep(images.reshape(
                                        shape.size(0),
                                        shape.size(1),
                                        shape.size(2) / factor,
                                        factor,
                                        shape.size(3) / factor,
                                        factor)
                                .mean(3, 5));
                    }
                },
                UnaryOperator.identity(),
                1,
                List.of());
    }

    /**
     * A Gaussian blur, cut off at 4 standard deviations; images are padded by reflection at the middle of their edge
     * pixels.
     *
     * @param deviation of the Gaussian in pixels, above 0 and at most 1000
     * @param height of the images, from 1 to 4096
     * @param width of the images, from 1 to 4096
     * @param device of the images
     */
    public static Measurement blur(double deviation, int height, int width, Device device) {
        Checks.deviation("blur", "the standard deviation", deviation);
        Preconditions.checkArgument(
                deviation <= WIDEST, "blur: the standard deviation is %s, expected at most %s", deviation, WIDEST);
        Preconditions.checkArgument(
                height > 0 && width > 0 && height <= LARGEST && width <= LARGEST,
                "blur: images are %s x %s, expected sizes from 1 to %s",
                height,
                width,
                LARGEST);
        // Use a matrix for each direction: exact at the edges, for any number of channels, and differentiable.
        Constant rows = Constant.of(kernel(deviation, height), device, height, height);
        Constant columns = Constant.of(kernel(deviation, width), device, width, width);
        String name = "blur of " + deviation;
        return new Measurement(
                name,
                images -> {
                    Preconditions.checkArgument(
                            images.size(2) == height && images.size(3) == width,
                            "%s: images are %s, expected height %s and width %s",
                            name,
                            images,
                            height,
                            width);
                    // Turn autocast off, because products in bfloat16 would add an error as large as the noise of good
                    // observations.
                    try (TensorScope scope = TensorScope.open();
                            Autocast exact = Autocast.off(images.device().type())) {
                        return scope.keep(rows.like(images)
                                .matmul(images)
                                .matmul(columns.like(images).transpose(0, 1)));
                    }
                },
                UnaryOperator.identity(),
                1,
                List.of(rows, columns));
    }

    /** Returns the matrix of a blur along one direction, in row-major order; each row sums to 1. */
    private static double[] kernel(double deviation, int size) {
        int reach = (int) Math.ceil(REACH * deviation);
        double[] weights = IntStream.rangeClosed(-reach, reach)
                .mapToDouble(offset -> Math.exp(-0.5 * (offset / deviation) * (offset / deviation)))
                .toArray();
        double total = Arrays.stream(weights).sum();
        double[] matrix = new double[size * size];
        for (int row = 0; row < size; row++) {
            for (int i = 0; i < weights.length; i++) {
                matrix[row * size + reflected(row + i - reach, size)] += weights[i] / total;
            }
        }
        return matrix;
    }

    /** Returns the index of a pixel beyond the edges: -1 is 1, as in {@code torch.nn.functional.pad} with "reflect". */
    private static int reflected(int place, int size) {
        int period = Math.max(1, 2 * (size - 1));
        int within = Math.floorMod(place, period);
        return Math.min(within, period - within);
    }

    /** Returns the name for messages and reports. */
    public String name() {
        return name;
    }

    /**
     * Returns A x; differentiable.
     *
     * @param images (N, C, H, W) in [0, 1]
     * @return (N, C, h, w), in the innermost open scope
     * @throws IllegalArgumentException if the images do not fit
     */
    public Tensor apply(Tensor images) {
        return operator.apply(Checks.images(name, images));
    }

    /**
     * Makes an observation y = A x + σ·noise of an image.
     *
     * @param image (C, H, W) in [0, 1]
     * @param noise σ, above 0 (0 is allowed here, for an observation without noise)
     * @param random on the image's device
     * @return (C, h, w) of the image's type; hidden numbers are 0; in the innermost open scope
     */
    public Tensor observe(Tensor image, double noise, RandomSource random) {
        Preconditions.checkArgument(
                image.dim() == 3, "%s: the image to observe is %s, expected (C, H, W)", name, image);
        Preconditions.checkArgument(
                noise >= 0 && Double.isFinite(noise), "%s: noise is %s, expected a finite number from 0", name, noise);
        try (TensorScope scope = TensorScope.open()) {
            Tensor seen = apply(image.unsqueeze(0)).select(0, 0);
            Tensor disturbance = random.normal(seen.shape()).to(seen.dtype()).mul(noise);
            return scope.keep(seen.add(visible.apply(disturbance)));
        }
    }

    /**
     * Returns an observation with zeros for its hidden numbers, in the innermost open scope, or the observation itself.
     */
    Tensor visible(Tensor observation) {
        return visible.apply(observation);
    }

    /** Returns the number of observed numbers for that shape. */
    long seen(Shape observation) {
        return Math.round(share * observation.numel());
    }

    @Override
    public void close() {
        owned.forEach(Constant::close);
    }
}
