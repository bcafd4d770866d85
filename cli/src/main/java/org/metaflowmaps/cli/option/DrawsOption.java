package org.metaflowmaps.cli.option;

import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.ValueFunction;
import picocli.CommandLine.Option;

/** The posterior draws from which the value of a state is estimated. */
public final class DrawsOption {
    /** The noise of the draws. */
    enum Noise {
        iid(ValueFunction.Noise.IID),
        antithetic(ValueFunction.Noise.ANTITHETIC);

        private final ValueFunction.Noise noise;

        Noise(ValueFunction.Noise noise) {
            this.noise = noise;
        }
    }

    @Option(
            names = "--draws",
            paramLabel = "N",
            description = "Posterior draws per state and step. Default: ${DEFAULT-VALUE}.")
    private int draws = 4;

    @Option(
            names = "--noise",
            description = "Noise of the draws: ${COMPLETION-CANDIDATES}; antithetic draws are pairs of opposite noise."
                    + " Default: ${DEFAULT-VALUE}.")
    private Noise noise = Noise.iid;

    @Option(
            names = "--chunk",
            paramLabel = "C",
            description =
                    "Draws of a state evaluated at once; fewer need less memory, and change only rounding. Default: 8."
                            + " Halved automatically if memory does not suffice.")
    private int chunk = 8;

    /** Throws if a value is out of range. */
    public void check() {
        if (draws < 1 || chunk < 1) {
            throw new IllegalArgumentException(
                    "--draws " + draws + " --chunk " + chunk + " is out of range: give at least 1 of each");
        }
        if (noise == Noise.antithetic && draws % 2 != 0) {
            throw new IllegalArgumentException(
                    "--draws " + draws + " with --noise antithetic: give an even number, because the draws form pairs");
        }
    }

    /** Returns the number of draws. */
    public int count() {
        return draws;
    }

    /** Returns the draws evaluated at once for each state. */
    public int atOnce() {
        return Math.min(draws, chunk);
    }

    /** Makes the value function of a map and a tilt. */
    public ValueFunction value(MetaFlowMap map, Tilt tilt) {
        return new ValueFunction(map, tilt, draws, noise.noise, chunk);
    }
}
