package org.metaflowmaps.cli.command;

import java.util.Arrays;
import org.metaflowmaps.cli.option.DrawsOption;
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.steering.value.GradientFree;
import org.metaflowmaps.steering.value.LookAheadGradient;
import org.metaflowmaps.steering.value.MonteCarloGradient;
import org.metaflowmaps.steering.value.PosteriorMeanGradient;
import org.metaflowmaps.steering.value.ValueGradient;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** The estimators of {@code mfm steer}, by their names on the command line. */
enum SteeringMethod {
    MFM_G("mfm-g", true),
    MFM_GF("mfm-gf", true),
    MFM_GF_DENOISER("mfm-gf-denoiser", true),
    DPS("dps", false),
    LOOK_AHEAD("look-ahead", false);

    private final String text;
    private final boolean draws;

    SteeringMethod(String text, boolean draws) {
        this.text = text;
        this.draws = draws;
    }

    /** Returns true if the method estimates from posterior draws. */
    boolean hasDraws() {
        return draws;
    }

    ValueGradient estimator(SteeringInputs inputs, DrawsOption draws, Coefficient coefficient) {
        return switch (this) {
            case MFM_G -> new MonteCarloGradient(inputs.drift(), draws.value(inputs.map(), inputs.tilt()), coefficient);
            case MFM_GF ->
                new GradientFree(inputs.drift(), draws.value(inputs.map(), inputs.tilt()), GradientFree.Centre.DRAWS);
            case MFM_GF_DENOISER ->
                new GradientFree(
                        inputs.drift(), draws.value(inputs.map(), inputs.tilt()), GradientFree.Centre.DENOISER);
            case DPS -> new PosteriorMeanGradient(inputs.drift(), inputs.tilt(), coefficient);
            case LOOK_AHEAD -> new LookAheadGradient(inputs.drift(), inputs.map(), inputs.tilt(), coefficient);
        };
    }

    /** Parses a name; picocli's message would list the constants too. */
    static final class Converter implements ITypeConverter<SteeringMethod> {
        @Override
        public SteeringMethod convert(String text) {
            return Arrays.stream(values())
                    .filter(method -> method.text.equals(text))
                    .findFirst()
                    .orElseThrow(() -> new TypeConversionException(
                            "expected one of " + Arrays.toString(values()) + " but was '" + text + "'"));
        }
    }

    /** Returns the name on the command line. */
    @Override
    public String toString() {
        return text;
    }
}
