package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.DeviceOption;
import org.metaflowmaps.cli.option.RewardOption;
import org.metaflowmaps.cli.report.MixtureTable;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.models.mixture.GaussianMixture;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.FreeMemory;
import org.metaflowmaps.runtime.file.AtomicFile;
import org.metaflowmaps.steering.evaluation.MixtureEvaluation;
import org.metaflowmaps.steering.reward.LinearGaussianLikelihood;
import org.metaflowmaps.steering.reward.Reward;
import org.metaflowmaps.steering.reward.RewardContext;
import org.metaflowmaps.steering.reward.RewardSpec;
import org.metaflowmaps.training.Checkpoint;
import org.metaflowmaps.training.config.Configs;
import org.metaflowmaps.training.data.DataConfig;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mfm evaluate mixture}. */
@Command(
        name = "mixture",
        mixinStandardHelpOptions = true,
        description = "Compare posterior draws of maps of a Gaussian mixture with exact draws: sliced Wasserstein-2"
                + " distances of equal numbers of draws, averaged over contexts, and those of two exact samples"
                + " (floor) and of Euler steps on the exact conditional drift (GLASS). No labels are given to the"
                + " maps.")
final class EvaluateMixtureCommand implements Callable<Integer> {
    private static final List<Integer> STEPS = List.of(1, 2, 4);
    private static final List<Integer> GLASS = List.of(4, 16, 64);

    @Spec
    private @Nullable CommandSpec spec;

    @Parameters(
            arity = "1..*",
            paramLabel = "CHECKPOINT",
            description = "Files checkpoint.safetensors of mfm, all of the same mixture.")
    private List<Path> files = new ArrayList<>();

    @Option(
            names = "--config",
            paramLabel = "CONFIG",
            description = "The configuration whose data is the mixture: a YAML file or a built-in one. "
                    + "Default: config.yaml beside each checkpoint, else 'mixture/distill'.")
    private @Nullable String config;

    @Option(
            names = "--reward",
            paramLabel = "REWARD",
            converter = RewardOption.Converter.class,
            description = "linear-gaussian:Y,SIGMA,A1,A2,...: compare with the mixture that this reward tilts, with"
                    + " lambda 1, for maps distilled from a fine-tuned one. At --time 0 the posteriors are the tilted"
                    + " law itself.")
    private @Nullable RewardSpec reward;

    @Option(
            names = "--time",
            paramLabel = "T",
            split = ",",
            description = "Context times in [0, 1). Default: 0.1, 0.3, 0.5, 0.8.")
    private List<Double> times = new ArrayList<>();

    @Option(names = "--contexts", paramLabel = "N", description = "Posteriors at each time. Default: ${DEFAULT-VALUE}.")
    private int contexts = 64;

    @Option(names = "--draws", paramLabel = "N", description = "Draws of each posterior. Default: ${DEFAULT-VALUE}.")
    private int draws = 1024;

    @Option(
            names = "--projections",
            paramLabel = "N",
            description = "Directions of the sliced distance. Default: ${DEFAULT-VALUE}.")
    private int projections = 64;

    @Option(
            names = "--mmd",
            description = "Also compute the unbiased squared maximum mean discrepancy, which takes much longer.")
    private boolean discrepancy;

    @Option(
            names = "--seed",
            paramLabel = "N",
            description = "Seed of contexts, noise and exact draws. Default: ${DEFAULT-VALUE}.")
    private long seed = 1;

    @Option(
            names = "--out",
            paramLabel = "FILE",
            description = "File for the tables: .md as printed, .json with all digits.")
    private @Nullable Path out;

    @Mixin
    private final DeviceOption device = new DeviceOption();

    @Override
    public Integer call() throws IOException {
        MixtureTable.checkName(out);
        List<Double> at = times.isEmpty() ? List.of(0.1, 0.3, 0.5, 0.8) : times;
        MixtureEvaluation.Settings settings =
                new MixtureEvaluation.Settings(at, contexts, draws, projections, discrepancy, seed);
        DataConfig data = data();
        // Estimate: some copies of each draw's coordinates, at least two, and all projections of one context's draws.
        double needed = 32.0 * contexts * draws + 16.0 * projections * draws + (discrepancy ? 8.0 * draws * draws : 0);
        FreeMemory.require(
                "--contexts " + contexts + ", --draws " + draws + " and --projections " + projections,
                needed < Long.MAX_VALUE ? (long) needed : -1,
                "lower them");
        PrintWriter terminal = Objects.requireNonNull(spec).commandLine().getOut();
        Device where = device.get();
        try (GaussianMixture mixture = law(data, where);
                MixtureEvaluation evaluation = new MixtureEvaluation(mixture, settings)) {
            Map<String, Map<Integer, List<MixtureEvaluation.Distance>>> rows = new LinkedHashMap<>();
            for (Path file : files) {
                try (MetaFlowMap map = Networks.load(file, where)) {
                    if (map.classes() > 0 && Checkpoint.alwaysLabelled(file)) {
                        PrintWriter errors =
                                Objects.requireNonNull(spec).commandLine().getErr();
                        errors.println("warning: " + file
                                + " was trained with label_drop=0, so it never saw label 'none', with which"
                                + " it is evaluated here: its distances mean little. Train with label_drop"
                                + " above 0 to compare it");
                        errors.flush();
                    }
                    rows.put(file.toString(), evaluation.map(map, STEPS));
                } catch (IllegalArgumentException e) {
                    throw new IOException(file + ": " + e.getMessage(), e);
                }
            }
            MixtureTable table = new MixtureTable(settings, evaluation.floor(), evaluation.glass(GLASS), rows);
            terminal.print(table.markdown());
            if (out != null) {
                byte[] text = (out.toString().endsWith(".json") ? table.json() : table.markdown())
                        .getBytes(StandardCharsets.UTF_8);
                AtomicFile.write(
                        out,
                        text.length,
                        channel -> Channels.newOutputStream(channel).write(text));
                terminal.println();
                terminal.println(out);
            }
            terminal.flush();
        }
        return 0;
    }

    /** Returns the data's law, tilted by the reward if there is one; owned by the caller. */
    private GaussianMixture law(DataConfig data, Device where) throws IOException {
        GaussianMixture mixture = GaussianMixture.isotropic(data.means(), data.variance(), where);
        if (reward == null) {
            return mixture;
        }
        try (mixture;
                Reward opened = reward.open(RewardContext.of(where))) {
            if (!(opened instanceof LinearGaussianLikelihood likelihood)) {
                throw new IllegalArgumentException("--reward " + reward
                        + ": the tilted law is known for one kind only: give linear-gaussian:Y,SIGMA,A1,A2,...");
            }
            return likelihood.likelihood().tilted(mixture);
        }
    }

    /** Returns the mixture that the checkpoints were trained on, if known from their configurations. */
    private DataConfig data() throws IOException {
        if (config != null) {
            return mixture(config);
        }
        @Nullable DataConfig common = null;
        for (Path file : files) {
            Path beside = file.resolveSibling("config.yaml");
            DataConfig data = mixture(Files.isRegularFile(beside) ? beside.toString() : "mixture/distill");
            if (common != null && !same(common, data)) {
                throw new IOException(file + " was trained on another mixture than " + files.getFirst()
                        + ": evaluate them one at a time, or give --config");
            }
            common = common == null ? data : common;
        }
        return Objects.requireNonNull(common);
    }

    private static boolean same(DataConfig first, DataConfig second) {
        return first.variance() == second.variance()
                && Arrays.deepEquals(first.means().toArray(), second.means().toArray());
    }

    private static DataConfig mixture(String name) throws IOException {
        DataConfig data = Configs.load(name, List.of()).config().data();
        if (data.kind() != DataConfig.Kind.MIXTURE) {
            throw new IOException(name + " is not a configuration of a mixture (data.kind): give one as --config");
        }
        return data;
    }
}
