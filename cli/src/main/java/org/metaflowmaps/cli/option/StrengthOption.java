package org.metaflowmaps.cli.option;

import picocli.CommandLine.Option;

/** {@code --lambda} or {@code --strength}, the strength of a tilt. */
public final class StrengthOption {
    @Option(
            names = {"--lambda", "--strength"},
            paramLabel = "X",
            description =
                    "Strength: the samples' law is the map's times exp(X * reward); negative for the opposite. mfm"
                            + " reward calibrate suggests values. Default: ${DEFAULT-VALUE}.")
    private double strength = 1;

    /**
     * Returns the strength.
     *
     * @throws IllegalArgumentException if it is not finite
     */
    public double get() {
        if (!Double.isFinite(strength)) {
            throw new IllegalArgumentException("--lambda " + strength + " is out of range: give a finite number");
        }
        return strength;
    }
}
