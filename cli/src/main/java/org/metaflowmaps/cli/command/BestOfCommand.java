package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.BudgetOption;
import org.metaflowmaps.cli.report.RewardTable;
import org.metaflowmaps.models.sampler.OdeSampler;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.steering.particle.BestOfN;
import org.metaflowmaps.steering.particle.Budget;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code mfm best-of}. */
@Command(
        name = "best-of",
        mixinStandardHelpOptions = true,
        description =
                "Draw a pool of samples without steering, keep the best by a reward, and print the expected best of"
                        + " fewer. --lambda only has to be above 0.")
public final class BestOfCommand implements Callable<Integer> {
    private static final int MOST = 1_000_000;

    @Mixin
    private final SteeringRun run = new SteeringRun("best.png");

    @Option(
            names = "--pool",
            paramLabel = "P",
            description = "Samples for each image, or fewer if a --budget ends it before. Default: 64, or as many as a"
                    + " --budget nfe=N pays for.")
    private @Nullable Integer pool;

    @Mixin
    private final BudgetOption budget = new BudgetOption();

    @Option(
            names = "--steps",
            paramLabel = "K",
            description = "Euler steps of a sample along the drift. Default: ${DEFAULT-VALUE}.")
    private int steps = 50;

    @Override
    public Integer call() throws IOException {
        run.check();
        run.requirePositiveStrength();
        if (pool != null && (pool < 1 || pool > MOST)) {
            throw new IllegalArgumentException("--pool " + pool + " is out of range: give 1 to " + MOST);
        }
        TimeGrid.uniform(steps);
        try (SteeringInputs inputs = run.open();
                GracefulStop stop = new GracefulStop(inputs::stop)) {
            run.requireRoom(inputs, false);
            Budget limit = budget.get();
            long cost = (long) steps * inputs.drift().evaluations(inputs.first()) + 1;
            int most = pool != null ? pool : limit.isCounted() ? Math.clamp(limit.evaluations() / cost, 1, MOST) : 64;
            BestOfN best = new BestOfN(
                    inputs.captured(new OdeSampler(inputs.drift(), steps)), inputs.tilt(), most, inputs.atOnce());
            List<double[]> pools = new ArrayList<>();
            SteeringInputs.Drawn drawn =
                    inputs.draw("best-of", 1, 1, most, limit, (noise, condition, share, listener) -> {
                        BestOfN.Result result = best.run(noise, condition, share, listener);
                        double[] scores = result.poolScores().toDoubleArray();
                        int each = Math.toIntExact(result.poolScores().size(1));
                        for (int from = 0; from < scores.length; from += each) {
                            pools.add(Arrays.copyOfRange(scores, from, from + each));
                        }
                        return SearchCommand.batch(result.samples(), result.scores(), result.spent());
                    });
            // A limit of time may leave images with pools of different sizes.
            int least = pools.stream().mapToInt(scores -> scores.length).min().orElseThrow();
            String name = "best of " + least;
            new RewardTable(run.terminal()).row(name, drawn.rewards(), drawn.evaluations(), drawn.seconds());
            print(least, cost, pools);
            run.write(inputs, drawn, null, name);
        }
        return 0;
    }

    /** Prints the expected best of 1, 2, 4 and so on, and of the smallest pool. */
    private void print(int least, long cost, List<double[]> pools) {
        PrintWriter out = run.terminal();
        out.printf("%8s %22s %12s%n", "best of", "expected mean reward", "NFE");
        IntStream.concat(IntStream.iterate(1, size -> size < least, size -> 2 * size), IntStream.of(least))
                .forEach(size -> {
                    double mean = pools.stream()
                            .mapToDouble(scores -> BestOfN.expectedMaximum(scores, size))
                            .average()
                            .orElse(Double.NaN);
                    out.printf(Locale.ROOT, "%8d %22.4f %12d%n", size, mean, cost * size);
                });
        out.flush();
    }
}
