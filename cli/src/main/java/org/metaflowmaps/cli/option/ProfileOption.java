package org.metaflowmaps.cli.option;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.training.ProfiledSteps;
import org.metaflowmaps.training.RunListener;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;
import picocli.CommandLine.TypeConversionException;

/** {@code --profile}, the steps that a profiler records. */
public final class ProfileOption {
    private static final Pattern STEPS = Pattern.compile("(\\d{1,15}):(\\d{1,15})");

    @Option(
            names = "--profile",
            paramLabel = "FROM:TO",
            converter = Converter.class,
            description = "Record named ranges only for these steps, counted from 1, and bracket them with"
                    + " cudaProfilerStart and cudaProfilerStop for nsys and ncu.")
    private @Nullable Steps steps;

    /** Returns a listener of a training run that also limits profiling, if that was asked for. */
    public RunListener with(RunListener listener) {
        // The window ends before the other listener shows or evaluates anything.
        return steps == null ? listener : RunListener.of(new ProfiledSteps(steps.first, steps.last), listener);
    }

    /** Returns the limit for a sampler's steps; the caller closes it after sampling. */
    public ProfiledSampling sampling() {
        return new ProfiledSampling(steps);
    }

    /** The first and the last step, counted from 1. */
    record Steps(long first, long last) {}

    /** Parses {@code FROM:TO}. */
    static final class Converter implements ITypeConverter<Steps> {
        @Override
        public Steps convert(String text) {
            Matcher matcher = STEPS.matcher(text);
            if (!matcher.matches()) {
                throw new TypeConversionException(
                        "'" + text + "' names no steps: give the first and the last, such as 20:30");
            }
            long first = Long.parseLong(matcher.group(1));
            long last = Long.parseLong(matcher.group(2));
            if (first < 1 || last < first) {
                throw new TypeConversionException(
                        "'" + text + "' is out of range: steps count from 1, and the last is not before the first");
            }
            return new Steps(first, last);
        }
    }
}
