package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.RewardInputOption;
import org.metaflowmaps.cli.option.RewardOption;
import org.metaflowmaps.cli.option.StrengthOption;
import org.metaflowmaps.cli.report.CellFile;
import org.metaflowmaps.cli.report.ValueTable;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.drift.Glass;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.GlassSampler;
import org.metaflowmaps.models.sampler.PosteriorSampler;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.evaluation.ValueEvaluation;
import org.metaflowmaps.steering.evaluation.Values;
import org.metaflowmaps.steering.reward.RewardSpec;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;
import tools.jackson.databind.node.ObjectNode;

/** {@code mfm evaluate value}. */
@Command(
        name = "value",
        mixinStandardHelpOptions = true,
        description = "Compare estimates of a reward's value at noised items with simulated paths of the map's SDE from"
                + " the same states: posterior draws by a few steps of the map, and by GLASS, which integrates the same"
                + " map's drift. Prints Pearson's r, the root mean square error and the bias with standard errors.")
final class EvaluateValueCommand implements Callable<Integer> {
    @Spec
    private @Nullable CommandSpec spec;

    @Mixin
    private final NoisedRun run = new NoisedRun();

    @Option(
            names = "--reward",
            paramLabel = "REWARD",
            converter = RewardOption.Converter.class,
            defaultValue = "mixture:0,0.1,0,0.1,0,0.2,0,0.2,0,0.4",
            description = "Such as class:3, brightness or linear:1,1; not one that observes an image. Default:"
                    + " ${DEFAULT-VALUE}.")
    private @Nullable RewardSpec reward;

    @Mixin
    private final RewardInputOption inputs = new RewardInputOption();

    @Mixin
    private final StrengthOption strength = new StrengthOption();

    @Option(
            names = "--particles",
            paramLabel = "P",
            description = "Paths from each state, an even number. Default: 32, with --quick 16.")
    private @Nullable Integer particles;

    @Option(
            names = "--path-steps",
            paramLabel = "K",
            description = "Euler-Maruyama steps of a path. Default: 32, with --quick 12.")
    private @Nullable Integer pathSteps;

    @Option(
            names = "--draws",
            paramLabel = "N",
            description = "Posterior draws of each state, an even number. Default: 32, with --quick 16.")
    private @Nullable Integer draws;

    @Option(
            names = "--steps",
            paramLabel = "N",
            split = ",",
            description = "Flow-map steps of a draw. Default: ${DEFAULT-VALUE}.",
            defaultValue = "1,2,4")
    private List<Integer> steps = List.of();

    @Option(
            names = "--glass",
            paramLabel = "N",
            split = ",",
            description = "Euler steps of GLASS; 0 for none. Default: ${DEFAULT-VALUE}.",
            defaultValue = "1,2,4,8")
    private List<Integer> glass = List.of();

    @Override
    public Integer call() throws IOException {
        int paths = run.or(particles, 32, 16);
        int length = run.or(pathSteps, 32, 12);
        int count = run.or(draws, 32, 16);
        check(paths, length, count);
        PrintWriter terminal = Objects.requireNonNull(spec).commandLine().getOut();
        try (MetaFlowMap owned = run.load();
                MetaFlowMap map = owned.frozen();
                LoadedReward loaded = run.reward(Objects.requireNonNull(reward), inputs, map);
                TensorScope scope = TensorScope.open()) {
            loaded.describe(terminal);
            EvaluationItems items = run.items(map, 0);
            ValueEvaluation evaluation = new ValueEvaluation(run.noised(map, items), loaded.tilt(strength.get()));
            ObjectNode settings = CellFile.object()
                    .put("evaluation", "value")
                    .put("reward", loaded.settings().orElse(String.valueOf(reward)))
                    .put("lambda", strength.get())
                    .put("particles", paths)
                    .put("path_steps", length)
                    .put("draws", count);
            try (CellFile cells = run.cells("value.jsonl", map, items, settings)) {
                String caption = String.format(
                        Locale.ROOT,
                        "Values of %s at lambda %s of %s: %d draws each, compared with %d paths of %d Euler-Maruyama"
                                + " steps.",
                        reward,
                        strength.get(),
                        run.described(items),
                        count,
                        paths,
                        length);
                ValueTable table = new ValueTable(caption, cells, terminal);
                Drift drift = new NetworkDrift(map, false);
                for (double time : run.times()) {
                    table.truth(time, length, () -> evaluation.rollouts(drift, time, paths, length));
                    for (int n : steps) {
                        Supplier<Values> values = () -> evaluation.draws(new PosteriorSampler(map, n), time, count);
                        table.estimate(ValueTable.MAP, time, n, values);
                    }
                    for (int n : glass) {
                        if (n > 0) {
                            GlassSampler sampler = new GlassSampler(new Glass(drift), n);
                            table.estimate(ValueTable.GLASS, time, n, () -> evaluation.draws(sampler, time, count));
                        }
                    }
                }
                table.write(run.out().resolve("value.md"));
            }
        }
        return 0;
    }

    private void check(int paths, int length, int count) {
        run.check();
        inputs.check(Objects.requireNonNull(reward));
        strength.get();
        NoisedRun.requireEven("--particles", paths, 2);
        NoisedRun.requireEven("--draws", count, 2);
        if (length < 1) {
            throw new IllegalArgumentException("--path-steps " + length + " is out of range: give at least 1");
        }
        if (glass.stream().anyMatch(n -> n < 0)) {
            throw new IllegalArgumentException("--glass " + glass + ": give numbers of steps, or 0 for none");
        }
        if (steps.stream().anyMatch(n -> n < 1)) {
            throw new IllegalArgumentException("--steps " + steps + ": give numbers of steps from 1 on");
        }
        if (Objects.requireNonNull(reward).needs(RewardSpec.Input.IMAGE)) {
            throw new IllegalArgumentException("--reward " + reward
                    + " observes one image, but every item has its own: use another, such as class:3 or brightness");
        }
    }
}
