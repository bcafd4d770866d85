package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.DrawsOption;
import org.metaflowmaps.cli.report.RewardTable;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.steering.particle.Budget;
import org.metaflowmaps.steering.particle.GreedySearch;
import org.metaflowmaps.steering.particle.TreeSearch;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code mfm search}. */
@Command(
        name = "search",
        mixinStandardHelpOptions = true,
        description =
                "Maximise a reward, with or without gradients, over posterior draws. Samples are not of the tilted"
                        + " law; --lambda only has to be above 0.")
public final class SearchCommand implements Callable<Integer> {
    /** Which draws are continued. */
    enum Resampling {
        overall(GreedySearch.Resampling.MAX_OVERALL),
        per_particle(GreedySearch.Resampling.MAX_PER_PARTICLE);

        private final GreedySearch.Resampling resampling;

        Resampling(GreedySearch.Resampling resampling) {
            this.resampling = resampling;
        }
    }

    /** How draws are noised again. */
    enum Transition {
        stochastic(GreedySearch.Renoising.STOCHASTIC),
        deterministic(GreedySearch.Renoising.DETERMINISTIC);

        private final GreedySearch.Renoising renoising;

        Transition(GreedySearch.Renoising renoising) {
            this.renoising = renoising;
        }
    }

    @Mixin
    private final SteeringRun run = new SteeringRun("searched.png");

    @Option(
            names = "--tree",
            description = "Search a tree with UCT instead of going forward greedily: --steps is its depth, --draws its"
                    + " width, and --budget is required.")
    private boolean tree;

    @Option(
            names = "--particles",
            paramLabel = "M",
            description = "States of each sample (without --tree). Default: 8.")
    private @Nullable Integer particles;

    @Mixin
    private final DrawsOption draws = new DrawsOption();

    @Option(
            names = "--steps",
            paramLabel = "K",
            description = "Times at which draws are made. Default: 50, and 5 with --tree.")
    private @Nullable Integer steps;

    @Option(
            names = "--power",
            paramLabel = "P",
            description = "Exponent of the times; above 1 for more steps near noise. Default: ${DEFAULT-VALUE}.")
    private double power = 2.5;

    @Option(names = "--start", paramLabel = "T", description = "First time before --power. Default: ${DEFAULT-VALUE}.")
    private double start = 0.01;

    @Option(
            names = "--resampling",
            description = "Continue the best draw of all particles, or each particle's own: ${COMPLETION-CANDIDATES}."
                    + " Default: overall.")
    private @Nullable Resampling resampling;

    @Option(
            names = "--transition",
            description = "Noise draws again with fresh noise or their state's: ${COMPLETION-CANDIDATES}. Default:"
                    + " stochastic.")
    private @Nullable Transition transition;

    @Option(
            names = "--budget",
            paramLabel = "NFE",
            description = "Most network evaluations of each sample, counted as in the paper.")
    private @Nullable Long budget;

    @Override
    public Integer call() throws IOException {
        run.check();
        draws.check();
        run.requirePositiveStrength();
        if (particles != null && particles < 1) {
            throw new IllegalArgumentException("--particles " + particles + " is out of range: give at least 1");
        }
        if (budget != null && budget < 1) {
            throw new IllegalArgumentException("--budget " + budget + " is out of range: give at least 1");
        }
        if (tree && (particles != null || resampling != null || transition != null)) {
            throw new IllegalArgumentException(
                    "--tree works without --particles, --resampling and --transition: they are for the greedy search");
        }
        if (tree && budget == null) {
            throw new IllegalArgumentException("--tree needs a --budget of network evaluations, such as --budget 1000");
        }
        TimeGrid grid =
                TimeGrid.linspace(start, steps != null ? steps : tree ? 5 : 50).power(power);
        Budget limit = budget == null ? Budget.NONE : Budget.ofEvaluations(budget);
        try (SteeringInputs inputs = run.open()) {
            run.requireRoom(inputs, false);
            SteeringInputs.Drawn drawn = tree ? tree(inputs, grid, limit) : greedy(inputs, grid, limit);
            String name = tree ? "tree search" : "search";
            new RewardTable(run.terminal()).row(name, drawn.rewards(), drawn.evaluations(), drawn.seconds());
            run.write(inputs, drawn, null, name);
        }
        return 0;
    }

    private SteeringInputs.Drawn greedy(SteeringInputs inputs, TimeGrid grid, Budget limit) {
        GreedySearch search = new GreedySearch(
                draws.value(inputs.map(), inputs.tilt()),
                grid,
                particles == null ? 8 : particles,
                (resampling == null ? Resampling.overall : resampling).resampling,
                (transition == null ? Transition.stochastic : transition).renoising);
        return inputs.draw("search", search.particles(), draws.atOnce(), grid.steps(), (noise, condition, listener) -> {
            GreedySearch.Result result = search.run(noise, condition, limit, listener);
            return new SteeringInputs.Batch(
                    result.samples(), result.scores(), result.spent().evaluations());
        });
    }

    private SteeringInputs.Drawn tree(SteeringInputs inputs, TimeGrid grid, Budget limit) {
        TreeSearch search = new TreeSearch(inputs.map(), inputs.tilt(), grid, draws.count());
        int simulations = Math.clamp(limit.evaluations() / search.evaluations(), 1, Integer.MAX_VALUE);
        return inputs.draw("search", 1, draws.count(), simulations, (noise, condition, listener) -> {
            TreeSearch.Result result = search.run(noise, condition, limit, listener);
            return new SteeringInputs.Batch(
                    result.samples(), result.scores(), result.spent().evaluations());
        });
    }
}
