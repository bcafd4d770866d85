package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import org.metaflowmaps.cli.report.RewardTable;
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

    @Option(names = "--pool", paramLabel = "P", description = "Samples for each image. Default: ${DEFAULT-VALUE}.")
    private int pool = 64;

    @Option(
            names = "--steps",
            paramLabel = "K",
            description = "Euler steps of a sample along the drift. Default: ${DEFAULT-VALUE}.")
    private int steps = 50;

    @Override
    public Integer call() throws IOException {
        run.check();
        run.requirePositiveStrength();
        if (pool < 1 || pool > MOST) {
            throw new IllegalArgumentException("--pool " + pool + " is out of range: give 1 to " + MOST);
        }
        TimeGrid.uniform(steps);
        try (SteeringInputs inputs = run.open()) {
            run.requireRoom(inputs, false);
            int[] sizes = sizes();
            List<double[]> maxima = new ArrayList<>();
            BestOfN best = BestOfN.ode(inputs.map(), steps, inputs.tilt(), pool, inputs.atOnce());
            SteeringInputs.Drawn drawn = inputs.draw("best of " + pool, 1, 1, pool, (noise, condition, listener) -> {
                BestOfN.Result result = best.run(noise, condition, Budget.NONE, listener);
                maxima.addAll(Arrays.asList(result.expectedMaxima(sizes)));
                return new SteeringInputs.Batch(
                        result.samples(), result.scores(), result.spent().evaluations());
            });
            new RewardTable(run.terminal())
                    .row("best of " + pool, drawn.rewards(), drawn.evaluations(), drawn.seconds());
            print(sizes, maxima);
            run.write(inputs, drawn, null, "best of " + pool);
        }
        return 0;
    }

    /** Returns 1, 2, 4 and so on, and the pool's size. */
    private int[] sizes() {
        return IntStream.concat(IntStream.iterate(1, size -> size < pool, size -> 2 * size), IntStream.of(pool))
                .toArray();
    }

    private void print(int[] sizes, List<double[]> maxima) {
        PrintWriter out = run.terminal();
        out.printf("%8s %22s %12s%n", "best of", "expected mean reward", "NFE");
        for (int i = 0; i < sizes.length; i++) {
            int index = i;
            double mean =
                    maxima.stream().mapToDouble(item -> item[index]).average().orElse(Double.NaN);
            out.printf(Locale.ROOT, "%8d %22.4f %12d%n", sizes[i], mean, (steps + 1L) * sizes[i]);
        }
        out.flush();
    }
}
