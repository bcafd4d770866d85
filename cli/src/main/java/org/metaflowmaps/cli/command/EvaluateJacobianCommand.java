package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.util.Locale;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.report.CellFile;
import org.metaflowmaps.cli.report.JacobianTable;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.PosteriorSampler;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.evaluation.JacobianFidelity;
import org.metaflowmaps.steering.evaluation.NoisedItems;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;
import tools.jackson.databind.node.ObjectNode;

/** {@code mfm evaluate jacobian}. */
@Command(
        name = "jacobian",
        mixinStandardHelpOptions = true,
        description = "Compare the mean Jacobian of a map's posterior draws in the noisy state with t/(1-t)² times the"
            + " covariance of the same draws, along differences of items. For a perfect map they are equal: slope 1."
            + " Gradients of a reward's value rely on the Jacobian.")
final class EvaluateJacobianCommand implements Callable<Integer> {
    @Spec
    private @Nullable CommandSpec spec;

    @Mixin
    private final NoisedRun run = new NoisedRun();

    @Option(
            names = "--draws",
            paramLabel = "N",
            description = "Posterior draws of each state, an even number. Default: 64, with --quick 16.")
    private @Nullable Integer draws;

    @Option(
            names = "--directions",
            paramLabel = "M",
            description = "Directions, each the difference of two further items. Default: 4, with --quick 3.")
    private @Nullable Integer directions;

    @Option(names = "--steps", paramLabel = "N", description = "Flow-map steps of a draw. Default: ${DEFAULT-VALUE}.")
    private int steps = 1;

    @Override
    public Integer call() throws IOException {
        int count = run.or(draws, 64, 16);
        int along = run.or(directions, 4, 3);
        run.check();
        NoisedRun.requireEven("--draws", count, 4);
        if (along < 2) {
            throw new IllegalArgumentException("--directions " + along + " is out of range: give at least 2");
        }
        if (steps < 1) {
            throw new IllegalArgumentException("--steps " + steps + " is out of range: give at least 1");
        }
        PrintWriter terminal = Objects.requireNonNull(spec).commandLine().getOut();
        try (MetaFlowMap owned = run.load();
                MetaFlowMap map = owned.frozen();
                TensorScope scope = TensorScope.open()) {
            EvaluationItems items = run.items(map, 2 * along);
            NoisedItems noised = run.noised(map, items);
            Tensor differences = differences(items.clean(), run.count(), along);
            ObjectNode settings = CellFile.object()
                    .put("evaluation", "jacobian")
                    .put("draws", count)
                    .put("directions", along)
                    .put("steps", steps);
            try (CellFile cells = run.cells("jacobian.jsonl", map, items, settings)) {
                String caption = String.format(
                        Locale.ROOT,
                        "Mean Jacobian of %d draws by %d flow-map steps against t/(1-t)² times their covariance, for"
                                + " all pairs of %d differences of items, at %s.",
                        count,
                        steps,
                        along,
                        run.described(items));
                JacobianTable table = new JacobianTable(caption, cells, terminal);
                for (double time : run.times()) {
                    table.add(
                            time,
                            () -> JacobianFidelity.of(
                                    new PosteriorSampler(map, steps), noised, differences, time, count));
                }
                table.write(run.out().resolve("jacobian.md"));
            }
        }
        return 0;
    }

    /** Returns differences of the items from an index on, of unit length: (count, item shape). */
    private static Tensor differences(Tensor items, int from, int count) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor apart = items.narrow(0, from, count).sub(items.narrow(0, (long) from + count, count));
            Tensor flat = apart.reshape(count, -1);
            Tensor length = flat.square().sumKeepDim(1).sqrt().clampMin(1e-12);
            return scope.keep(flat.div(length).reshape(apart.shape()));
        }
    }
}
