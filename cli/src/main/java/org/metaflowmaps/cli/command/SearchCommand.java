package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.BudgetOption;
import org.metaflowmaps.cli.option.DrawsOption;
import org.metaflowmaps.cli.report.RewardTable;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.steering.particle.Budget;
import org.metaflowmaps.steering.particle.GreedySearch;
import org.metaflowmaps.steering.particle.Spent;
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

    private static final int MOST_STEPS = 100_000;
    private static final int MOST_SIMULATIONS = 1 << 20;

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
            description = "Times at which draws are made; a --budget nfe=N may make them fewer, and seconds=S ends the"
                    + " search early. Default: 50, or as many as nfe=N pays for; 5 with --tree.")
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

    @Mixin
    private final BudgetOption budget = new BudgetOption();

    @Override
    public Integer call() throws IOException {
        run.check();
        draws.check();
        run.requirePositiveStrength();
        if (particles != null && particles < 1) {
            throw new IllegalArgumentException("--particles " + particles + " is out of range: give at least 1");
        }
        if (tree && (particles != null || resampling != null || transition != null)) {
            throw new IllegalArgumentException(
                    "--tree works without --particles, --resampling and --transition: they are for the greedy search");
        }
        if (tree && !budget.isGiven()) {
            throw new IllegalArgumentException(
                    "--tree needs a --budget, such as --budget nfe=1000 or --budget seconds=60");
        }
        if (tree) {
            run.requireNoGraphs("--tree, whose simulations read their scores back");
        }
        TimeGrid grid = TimeGrid.linspace(start, tree ? steps == null ? 5 : steps : greedySteps())
                .power(power);
        try (SteeringInputs inputs = run.open();
                GracefulStop stop = new GracefulStop(inputs::stop)) {
            run.requireRoom(inputs, false);
            RewardTable table = new RewardTable(run.terminal());
            SteeringInputs.Drawn drawn = tree ? tree(inputs, grid, budget.get()) : greedy(inputs, grid, budget.get());
            String name = tree ? "tree search" : "search";
            table.row(name, drawn.rewards(), drawn.evaluations(), drawn.seconds());
            run.write(inputs, drawn, null, name);
        }
        return 0;
    }

    private int particles() {
        return particles == null ? 8 : particles;
    }

    /** Returns the steps that fit the evaluations: a search that ends at an early time has coarse samples. */
    private int greedySteps() {
        if (!budget.get().isCounted()) {
            return steps == null ? 50 : steps;
        }
        long each = 2L * particles() * draws.count();
        int fitting = Math.clamp(budget.get().evaluations() / each, 1, MOST_STEPS);
        return steps == null ? fitting : Math.min(steps, fitting);
    }

    private SteeringInputs.Drawn greedy(SteeringInputs inputs, TimeGrid grid, Budget limit) {
        GreedySearch search = new GreedySearch(
                inputs.captured(draws.value(inputs.map(), inputs.tilt())),
                grid,
                particles(),
                (resampling == null ? Resampling.overall : resampling).resampling,
                (transition == null ? Transition.stochastic : transition).renoising);
        return inputs.draw(
                "search",
                search.particles(),
                draws.atOnce(),
                grid.steps(),
                limit,
                (noise, condition, share, listener) -> {
                    GreedySearch.Result result = search.run(noise, condition, share, listener);
                    return batch(result.samples(), result.scores(), result.spent());
                });
    }

    private SteeringInputs.Drawn tree(SteeringInputs inputs, TimeGrid grid, Budget limit) {
        TreeSearch search = new TreeSearch(inputs.map(), inputs.tilt(), grid, draws.count());
        int simulations = Math.clamp(limit.evaluations() / search.evaluations(), 1, MOST_SIMULATIONS);
        return inputs.draw("search", 1, draws.count(), simulations, limit, (noise, condition, share, listener) -> {
            TreeSearch.Result result = search.run(noise, condition, share, listener);
            return batch(result.samples(), result.scores(), result.spent());
        });
    }

    /** Returns what a search found, also if it was stopped. */
    static SteeringInputs.Batch batch(Tensor samples, Tensor scores, Spent spent) {
        return new SteeringInputs.Batch(samples, scores, spent.evaluations(), spent.ending() != Spent.Ending.CANCELLED);
    }
}
