package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.metaflowmaps.cli.option.ClassNames;
import org.metaflowmaps.cli.option.GraphsOption;
import org.metaflowmaps.cli.option.ItemsOption;
import org.metaflowmaps.cli.option.PrecisionOption;
import org.metaflowmaps.cli.report.ImageGrid;
import org.metaflowmaps.cli.report.RewardRow;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.Solver;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.steering.particle.BestOfN;
import org.metaflowmaps.steering.particle.Budget;
import org.metaflowmaps.steering.reward.RewardSpec;
import org.metaflowmaps.steering.sampler.CorrectionScale;
import org.metaflowmaps.steering.sampler.Dynamics;
import org.metaflowmaps.steering.sampler.Schedule;
import org.metaflowmaps.steering.sampler.SteeredResult;
import org.metaflowmaps.steering.sampler.SteeredSampler;
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.steering.value.GradientFree;
import org.metaflowmaps.steering.value.MonteCarloGradient;
import org.metaflowmaps.steering.value.NoSteering;
import org.metaflowmaps.steering.value.ValueFunction;
import org.metaflowmaps.steering.value.ValueGradient;

/**
 * The quickstart's comparison of steering with the best of as many samples as cost the same, all for the same items.
 *
 * @param checkpoint the trained map
 * @param names of its classes
 * @param guidance scale of its labels
 * @param count samples of each class
 * @param seed of the noise
 * @param device of the computation
 */
record QuickstartSteering(Path checkpoint, List<String> names, double guidance, int count, long seed, Device device) {
    static final String REWARD = "brightness";
    static final double STRENGTH = 60;
    static final int STEPS = 25;
    private static final String CLASSES = "0,8";
    private static final int DRAWS = 4;
    private static final double START = 0.01;
    private static final Coefficient COEFFICIENT = new Coefficient(25);

    /** The methods' rewards, and samples before and after steering. */
    record Result(List<RewardRow> rows, ImageGrid picture) {}

    /** Draws the samples of all methods. */
    Result run() throws IOException {
        try (SteeringInputs inputs = open(checkpoint, CLASSES)) {
            List<RewardRow> rows = new ArrayList<>();
            SteeringInputs.Drawn before = steered(inputs, "unsteered", new NoSteering(inputs.drift()), 1, rows);
            SteeringInputs.Drawn single = steered(inputs, "mfm-g, N = 1", gradient(inputs, 1), 1, rows);
            bestOf(inputs, single.evaluations(), rows);
            ValueGradient centred = new GradientFree(inputs.drift(), value(inputs, DRAWS), GradientFree.Centre.DRAWS);
            SteeringInputs.Drawn free = steered(inputs, "mfm-gf, N = " + DRAWS, centred, DRAWS, rows);
            bestOf(inputs, free.evaluations(), rows);
            SteeringInputs.Drawn after = steered(inputs, "mfm-g, N = " + DRAWS, gradient(inputs, DRAWS), DRAWS, rows);
            bestOf(inputs, after.evaluations(), rows);
            return new Result(rows, inputs.picture(after, before));
        }
    }

    /** Loads a map with the reward; the caller closes the result. */
    SteeringInputs open(Path file, String classes) throws IOException {
        MetaFlowMap map = Networks.load(file, device);
        LoadedReward reward = null;
        try {
            reward = LoadedReward.of(RewardSpec.parse(REWARD), map, seed, device);
            return new SteeringInputs(
                    map,
                    reward,
                    STRENGTH,
                    new ClassNames(names, map.classes()),
                    guidance,
                    ItemsOption.of(classes, count, seed),
                    device,
                    new PrecisionOption().on(device),
                    new GraphsOption());
        } catch (IOException | RuntimeException e) {
            if (reward != null) {
                reward.close();
            }
            map.close();
            throw e;
        }
    }

    private static ValueFunction value(SteeringInputs inputs, int draws) {
        return new ValueFunction(inputs.map(), inputs.tilt(), draws, ValueFunction.Noise.IID, draws);
    }

    private static ValueGradient gradient(SteeringInputs inputs, int draws) {
        return new MonteCarloGradient(inputs.drift(), value(inputs, draws), COEFFICIENT);
    }

    private static SteeringInputs.Drawn steered(
            SteeringInputs inputs, String name, ValueGradient estimator, int draws, List<RewardRow> rows) {
        SteeredSampler sampler = new SteeredSampler(
                Schedule.always(estimator),
                TimeGrid.linspace(START, STEPS),
                new Dynamics.Ode(Solver.EULER),
                CorrectionScale.EXACT,
                Optional.of(inputs.tilt()),
                false);
        return drawn(inputs, name, SteerCommand.GRADIENT_MEMORY * draws, rows, (noise, condition, listener) -> {
            SteeredResult result = sampler.sample(noise, condition, listener);
            return new SteeringInputs.Batch(result.samples(), result.rewards().orElseThrow(), result.evaluations());
        });
    }

    /** Draws the best of as many samples as the evaluations pay for. */
    private static void bestOf(SteeringInputs inputs, long evaluations, List<RewardRow> rows) {
        int pool = Math.toIntExact(Math.max(1, evaluations / (STEPS + 1)));
        best(inputs, "best of " + pool, pool, rows);
    }

    /** Draws the best of a pool of samples along the drift. */
    static SteeringInputs.Drawn best(SteeringInputs inputs, String name, int pool, List<RewardRow> rows) {
        BestOfN search = BestOfN.ode(inputs.map(), STEPS, inputs.tilt(), pool, inputs.atOnce());
        return drawn(inputs, name, 1, rows, (noise, condition, listener) -> {
            BestOfN.Result result = search.run(noise, condition, Budget.NONE, listener);
            return new SteeringInputs.Batch(
                    result.samples(), result.scores(), result.spent().evaluations());
        });
    }

    private static SteeringInputs.Drawn drawn(
            SteeringInputs inputs, String name, int atOnce, List<RewardRow> rows, SteeringInputs.Sampling sampling) {
        SteeringInputs.Drawn drawn = inputs.draw(name, 1, atOnce, STEPS, sampling);
        rows.add(new RewardRow(name, drawn.rewards(), drawn.evaluations(), drawn.seconds()));
        return drawn;
    }

    /** Returns what is done. */
    static String title() {
        return "Reward: " + REWARD + " (mean pixel in [0, 1]), lambda " + STRENGTH + ", " + STEPS
                + " Euler steps. The map makes the draws; nothing is trained.";
    }

    /** Returns the commands that repeat the comparison. */
    List<String> commands(String mfm) {
        String file = TrainCommand.quoted(checkpoint.toString());
        String common = " " + file + " --reward " + REWARD + " --lambda " + STRENGTH + " --class " + CLASSES
                + " --count " + count + " --seed " + seed + " --steps " + STEPS;
        return List.of(
                mfm + " steer" + common + " --method mfm-g --draws " + DRAWS + " --compare",
                mfm + " steer" + common + " --method mfm-gf --draws " + DRAWS,
                mfm + " best-of" + common + " --pool 16",
                mfm + " reward calibrate " + file + " --reward " + REWARD);
    }
}
