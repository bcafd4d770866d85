package org.metaflowmaps.cli.option;

import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.steering.reward.RewardSpec;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.TypeConversionException;

/** {@code --reward} and what it needs besides: an image, a text, an autoencoder. */
public final class RewardOption {
    @Option(
            names = "--reward",
            paramLabel = "REWARD",
            required = true,
            converter = Converter.class,
            description =
                    "Such as class:3, brightness, inpaint:8,8,12,12,0.1, hpsv2:FILE, torchscript:FILE, or a sum of"
                            + " standardised rewards, 2*class:3@-4.1,1.2 + brightness@0.28,0.1. A wrong one lists all.")
    private @Nullable RewardSpec spec;

    @Option(
            names = "--image",
            paramLabel = "N",
            description = "For inpaint, downsample and blur: index of the observed image in the map's data, from 0;"
                    + " for Fashion-MNIST of the 10,000 test images. Default: ${DEFAULT-VALUE}.")
    private int image;

    @Mixin
    private final RewardInputOption inputs = new RewardInputOption();

    /**
     * Throws if an option is out of range.
     *
     * @throws IllegalArgumentException with the option
     */
    public void check() {
        inputs.check(spec());
    }

    /** Returns the inputs of the reward. */
    public RewardInputOption inputs() {
        return inputs;
    }

    /** Returns the parsed reward. */
    public RewardSpec spec() {
        return Objects.requireNonNull(spec);
    }

    /** Returns the index of the image that the reward observes. */
    public int image() {
        return image;
    }

    /** Parses a reward. */
    public static final class Converter implements ITypeConverter<RewardSpec> {
        @Override
        public RewardSpec convert(String text) {
            try {
                return RewardSpec.parse(text);
            } catch (IllegalArgumentException e) {
                throw new TypeConversionException(e.getMessage());
            }
        }
    }
}
