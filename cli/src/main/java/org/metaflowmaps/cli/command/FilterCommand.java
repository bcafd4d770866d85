package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.BudgetOption;
import org.metaflowmaps.cli.option.DrawsOption;
import org.metaflowmaps.cli.report.RewardTable;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.steering.particle.ParticleFilter;
import org.metaflowmaps.steering.particle.ParticleResult;
import org.metaflowmaps.steering.particle.Potential;
import org.metaflowmaps.steering.particle.Tempering;
import org.metaflowmaps.steering.particle.Transition;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code mfm filter}. */
@Command(
        name = "filter",
        mixinStandardHelpOptions = true,
        description =
                "Sample the tilted law by a particle filter, exact for a perfect map, and estimate its normaliser."
                        + " Each image is one particle drawn by the weights.")
public final class FilterCommand implements Callable<Integer> {
    private static final int MOST = 4096;

    @Mixin
    private final SteeringRun run = new SteeringRun("filtered.png");

    @Option(
            names = "--particles",
            paramLabel = "M",
            description =
                    "Particles of each image. Default: 64, or as many as a --budget nfe=N pays for, at most" + " 4096.")
    private @Nullable Integer particles;

    @Mixin
    private final DrawsOption draws = new DrawsOption();

    @Option(
            names = "--steps",
            paramLabel = "K",
            description = "Steps of a particle; seconds=S, or nfe=N with --particles, may make them fewer and longer."
                    + " Default: ${DEFAULT-VALUE}.")
    private int steps = 20;

    @Mixin
    private final BudgetOption budget = new BudgetOption();

    @Option(
            names = "--ess",
            paramLabel = "SHARE",
            description =
                    "Resample when the effective sample size is below this share of the particles: 0 for never, 1 for"
                            + " always. Default: ${DEFAULT-VALUE}.")
    private double threshold = 0.5;

    @Option(
            names = "--tempering",
            paramLabel = "SHARE",
            description =
                    "Weaken the early weights so that this share of the particles stays effective, above 0 and below"
                            + " 1. Default: none.")
    private @Nullable Double tempering;

    @Option(
            names = "--twisted",
            description =
                    "Use the twisted diffusion sampler (TDS) instead, a baseline: it makes no posterior draws, and"
                            + " needs a reward with gradients and many steps.")
    private boolean twisted;

    @Override
    public Integer call() throws IOException {
        run.check();
        draws.check();
        if (particles != null && particles < 1) {
            throw new IllegalArgumentException("--particles " + particles + " is out of range: give at least 1");
        }
        if (!(threshold >= 0 && threshold <= 1)) {
            throw new IllegalArgumentException("--ess " + threshold + " is out of range: give 0 to 1");
        }
        if (twisted && tempering != null) {
            throw new IllegalArgumentException("--tempering is not for --twisted: leave one of them out");
        }
        TimeGrid grid = TimeGrid.uniform(steps);
        Tempering schedule = tempering == null ? Tempering.NONE : new Tempering.Adaptive(tempering);
        try (SteeringInputs inputs = run.open();
                GracefulStop stop = new GracefulStop(inputs::stop)) {
            run.requireRoom(inputs, false);
            IntFunction<ParticleFilter> of = count -> twisted
                    ? ParticleFilter.twistedDiffusion(
                            inputs.drift(), inputs.tilt(), grid, count, threshold, inputs::captured)
                    : new ParticleFilter(
                            Potential.of(inputs.captured(draws.value(inputs.map(), inputs.tilt()))),
                            new Transition.PosteriorDraw(inputs.map()),
                            grid,
                            count,
                            threshold,
                            schedule);
            int count = particles != null
                    ? particles
                    : budget.get().isCounted() ? fitting(of.apply(1).evaluations(inputs.first())) : 64;
            ParticleFilter filter = of.apply(count);
            List<Item> items = new ArrayList<>();
            String name = twisted ? "twisted diffusion" : "particle filter";
            SteeringInputs.Drawn drawn = inputs.draw(
                    name,
                    count,
                    twisted ? 1 : draws.atOnce(),
                    steps,
                    budget.get(),
                    (noise, condition, share, listener) -> {
                        ParticleResult result = filter.run(noise, condition, share, listener);
                        items.addAll(Item.of(result));
                        return new SteeringInputs.Batch(
                                result.samples(),
                                inputs.tilt().scoreWithoutAutocast(result.samples(), condition),
                                result.evaluations());
                    });
            new RewardTable(run.terminal()).row(name, drawn.rewards(), drawn.evaluations(), drawn.seconds());
            print(items);
            run.write(inputs, drawn, null, name);
        }
        return 0;
    }

    /** Returns the particles that the evaluations pay for; one alone would not be filtered. */
    private int fitting(long each) {
        long evaluations = budget.get().evaluations();
        if (evaluations < 2 * each) {
            throw new IllegalArgumentException("--budget nfe=" + evaluations + " is too small: two particles with "
                    + steps + " steps cost " + 2 * each + "; raise it, or lower --steps or --draws");
        }
        return (int) Math.min(MOST, evaluations / each);
    }

    /** One image's filter: the smallest and the last effective sample size, survivors, and the normaliser. */
    private record Item(double least, double last, double survivors, double logNormaliser) {
        static List<Item> of(ParticleResult result) {
            double[] sizes = result.effectiveSize().toDoubleArray();
            double[] survivors = result.survivors().toDoubleArray();
            double[] logs = result.logNormaliser().toDoubleArray();
            List<Item> items = new ArrayList<>();
            for (int item = 0; item < logs.length; item++) {
                double least = Double.POSITIVE_INFINITY;
                for (int at = item; at < sizes.length; at += logs.length) {
                    least = Math.min(least, sizes[at]);
                }
                items.add(new Item(least, sizes[sizes.length - logs.length + item], survivors[item], logs[item]));
            }
            return items;
        }
    }

    private void print(List<Item> items) {
        PrintWriter out = run.terminal();
        out.printf("%8s %10s %10s %10s %12s%n", "image", "least ESS", "last ESS", "survivors", "log Z");
        for (int i = 0; i < items.size(); i++) {
            Item item = items.get(i);
            out.printf(
                    Locale.ROOT,
                    "%8d %10.1f %10.1f %10.0f %12.4f%n",
                    i,
                    item.least(),
                    item.last(),
                    item.survivors(),
                    item.logNormaliser());
        }
        out.flush();
    }
}
