package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * A reward that is a statistic of an image's pixels.
 *
 * @param kind which
 * @param channel of {@link Kind#CHANNEL}, from 0; not used by the other kinds
 */
public record ImageStatistic(Kind kind, int channel) implements Reward {
    /** The statistics. */
    public enum Kind {
        /** The mean of all pixels and channels, in [0, 1]. */
        BRIGHTNESS,
        /** The standard deviation over pixels of the mean over channels, in [0, 0.5]. */
        CONTRAST,
        /** The mean of one channel, in [0, 1]; of colours 0 is red, 1 green, 2 blue. */
        CHANNEL
    }

    /** Keeps the square root differentiable for a constant image; 1e-6 is far below 1/256, one step of brightness. */
    private static final double LEAST_VARIANCE = 1e-12;

    /** Checks the channel. */
    public ImageStatistic {
        Preconditions.checkNotNull(kind, "image statistic: the kind is null");
        Preconditions.checkArgument(
                channel >= 0, "image statistic: the channel is %s, expected a number from 0", channel);
    }

    /** The mean of all pixels. */
    public static ImageStatistic brightness() {
        return new ImageStatistic(Kind.BRIGHTNESS, 0);
    }

    /** The standard deviation of all pixels. */
    public static ImageStatistic contrast() {
        return new ImageStatistic(Kind.CONTRAST, 0);
    }

    /** The mean of one channel. */
    public static ImageStatistic ofChannel(int channel) {
        return new ImageStatistic(Kind.CHANNEL, channel);
    }

    @Override
    public String name() {
        return switch (kind) {
            case BRIGHTNESS -> "brightness";
            case CONTRAST -> "contrast";
            case CHANNEL -> "channel " + channel;
        };
    }

    @Override
    public boolean isConcurrent() {
        return true;
    }

    @Override
    public Tensor score(Tensor samples, Condition condition) {
        Tensor images = Checks.images(name(), samples);
        Preconditions.checkArgument(
                kind != Kind.CHANNEL || channel < images.size(1),
                "reward %s: images have %s channels, from 0",
                name(),
                images.size(1));
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(
                    switch (kind) {
                        case BRIGHTNESS -> images.mean(1, 2, 3);
                        case CONTRAST -> deviation(images.mean(1));
                        case CHANNEL -> images.select(1, channel).mean(1, 2);
                    });
        }
    }

    private static Tensor deviation(Tensor grey) {
        return grey.sub(grey.meanKeepDim(1, 2))
                .square()
                .mean(1, 2)
                .add(LEAST_VARIANCE)
                .sqrt();
    }
}
