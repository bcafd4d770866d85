package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.DeviceOption;
import org.metaflowmaps.cli.report.ClassSamples;
import org.metaflowmaps.cli.report.ImageGrid;
import org.metaflowmaps.cli.report.PosteriorStudy;
import org.metaflowmaps.cli.report.QuickstartReport;
import org.metaflowmaps.cli.report.RunProgress;
import org.metaflowmaps.models.model.Layout;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.steering.PosteriorEvaluation;
import org.metaflowmaps.training.CheckpointFolder;
import org.metaflowmaps.training.TrainingRun;
import org.metaflowmaps.training.config.Configs;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.DataConfig;
import org.metaflowmaps.training.data.Datasets;
import org.metaflowmaps.training.data.LabelledImages;
import org.metaflowmaps.training.data.TrainingData;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mfm quickstart}. */
@Command(
        name = "quickstart",
        mixinStandardHelpOptions = true,
        description =
                "Train a small meta flow map on images included in mfm, draw from its posteriors, steer it, fine-tune"
                        + " it, and write a report.")
public final class QuickstartCommand implements Callable<Integer> {
    private static final Path DEFAULT_FOLDER = Path.of("runs", "quickstart");
    private static final String FINETUNED = "finetuned";
    private static final int EVALUATED = 128;
    private static final int DRAWS = 16;
    private static final int SHOWN = 4;
    private static final int DRAWS_SHOWN = 6;
    private static final int[] SAMPLE_STEPS = {1, 2, 4};
    private static final int MOST_STEERED = 1000;

    @Spec
    private @Nullable CommandSpec spec;

    @Parameters(
            index = "0..*",
            paramLabel = "key=value",
            description = "Settings that override those of the quickstart.")
    private List<String> overrides = new ArrayList<>();

    @Option(names = "--out", paramLabel = "DIR", description = "Folder for the results. Default: ${DEFAULT-VALUE}.")
    private Path folder = DEFAULT_FOLDER;

    @Option(
            names = "--steer-count",
            paramLabel = "N",
            description =
                    "Samples of each class to steer; 0 skips steering and fine-tuning. Default: ${DEFAULT-VALUE}.")
    private int steerCount = 8;

    @Option(
            names = "--finetune-steps",
            paramLabel = "N",
            description = "Steps of fine-tuning; 0 skips it. Default: ${DEFAULT-VALUE}.")
    private int finetuneSteps = 80;

    @Mixin
    private final DeviceOption device = new DeviceOption();

    @Override
    public Integer call() throws IOException {
        PrintWriter terminal = Objects.requireNonNull(spec).commandLine().getOut();
        if (steerCount < 0 || steerCount > MOST_STEERED) {
            throw new IllegalArgumentException(
                    "--steer-count " + steerCount + " is out of range: give 0 to " + MOST_STEERED);
        }
        if (finetuneSteps < 0) {
            throw new IllegalArgumentException(
                    "--finetune-steps " + finetuneSteps + " is out of range: give at least 0");
        }
        Configs.Resolved resolved = Configs.load("quickstart", overrides);
        TrainConfig config = resolved.config();
        if (config.data().holdOut() == 0) {
            throw new IllegalArgumentException(
                    "config: data.hold_out is 0: set it above 0; the quickstart needs held-out images to draw their"
                            + " posteriors");
        }
        if (config.data().kind() != DataConfig.Kind.FASHION_MNIST) {
            throw new IllegalArgumentException("config: the quickstart draws images; for other data use: mfm train");
        }
        TransformerConfig network = config.model().transformer();
        if (network == null || network.layout() != Layout.META_FLOW_MAP) {
            throw new IllegalArgumentException(
                    "config: the quickstart draws posteriors, which need model.transformer.layout=meta-flow-map; for"
                            + " others use: mfm train");
        }
        CheckpointFolder checkpoints = new CheckpointFolder(folder);
        CheckpointFolder finetuned = new CheckpointFolder(folder.resolve(FINETUNED));
        if (!folder.equals(DEFAULT_FOLDER) && !(checkpoints.isEmpty() && finetuned.isEmpty())) {
            throw new IOException("a checkpoint exists in " + folder + ": choose another folder with --out");
        }
        LabelledImages images = Datasets.images(config.data());
        int evaluated = Math.min(EVALUATED, config.data().holdOut());
        try (TrainingData data = Datasets.open(config.data(), config.seed(), device.get());
                TrainingRun run = new TrainingRun(config, data, device.get(), folder)) {
            run.pictures(ImageGrid::png);
            run.initialise();
            clear(folder, checkpoints);
            clear(folder.resolve(FINETUNED), finetuned);
            TrainCommand.write(resolved, folder);
            terminal.println("training " + run.map().parameters().count() + " parameters on "
                    + (images.count() - config.data().holdOut()) + " images on " + device.get());
            terminal.flush();
            if (!train(run)) {
                terminal.println(TrainCommand.resumption(run, folder, device));
                terminal.flush();
                return 0;
            }
            PosteriorStudy study = new PosteriorStudy(
                    run.averaged(),
                    config.guidance(),
                    images,
                    images.count() - config.data().holdOut(),
                    device.get(),
                    config.seed());
            QuickstartReport report = new QuickstartReport(folder, resolved, evaluated, DRAWS);
            long started = System.nanoTime();
            List<PosteriorEvaluation> rows = study.evaluate(evaluated, DRAWS, 1);
            report.posterior(rows, (System.nanoTime() - started) * 1e-9);
            report.pictures(
                    study.grid(shown(images, config), PosteriorStudy.times(), DRAWS_SHOWN, 1),
                    ClassSamples.grid(
                            run.averaged(),
                            config.guidance(),
                            images.classNames(),
                            SAMPLE_STEPS,
                            2,
                            config.seed(),
                            device.get()));
            report.write();
            report.print(terminal);
            if (steerCount > 0) {
                steer(config, images, data, checkpoints, report, terminal);
            }
        }
        return 0;
    }

    private static boolean train(TrainingRun run) throws IOException {
        try (GracefulStop stop = new GracefulStop(run::stop)) {
            return run.run(new RunProgress());
        }
    }

    /** Steers and fine-tunes the saved map, and adds both to the report. */
    private void steer(
            TrainConfig config,
            LabelledImages images,
            TrainingData data,
            CheckpointFolder checkpoints,
            QuickstartReport report,
            PrintWriter terminal)
            throws IOException {
        String mfm = System.getProperty(TrainCommand.COMMAND, "./mfm");
        QuickstartSteering steering = new QuickstartSteering(
                checkpoints.newest(), images.classNames(), config.guidance(), steerCount, config.seed(), device.get());
        QuickstartSteering.Result steered = steering.run();
        report.steering(
                QuickstartSteering.title(), steered.rows(), steered.picture(), onDevice(steering.commands(mfm)));
        report.write();
        report.printSteering(terminal);
        if (finetuneSteps == 0) {
            return;
        }
        QuickstartFineTuning finetuning = new QuickstartFineTuning(steering, finetuneSteps, folder.resolve(FINETUNED));
        Optional<QuickstartFineTuning.Result> found = finetuning.run(data);
        if (found.isEmpty()) {
            terminal.println("fine-tuning was stopped; continue with: "
                    + onDevice(List.of(finetuning.resumption(mfm))).getFirst());
            terminal.flush();
            return;
        }
        QuickstartFineTuning.Result tuned = found.get();
        report.fineTuning(
                finetuning.title(tuned.seconds()),
                tuned.before(),
                tuned.after(),
                tuned.picture(),
                onDevice(finetuning.commands(mfm)));
        report.write();
        report.printFineTuning(terminal);
    }

    private List<String> onDevice(List<String> commands) {
        return device.given() == null
                ? commands
                : commands.stream()
                        .map(command -> command + " --device " + device.given())
                        .toList();
    }

    /** Returns the first held-out images. */
    private static List<Integer> shown(LabelledImages images, TrainConfig config) {
        int first = images.count() - config.data().holdOut();
        return IntStream.range(first, Math.min(images.count(), first + SHOWN))
                .boxed()
                .toList();
    }

    /** Deletes an earlier quickstart's files, and no others in the folder. */
    private static void clear(Path folder, CheckpointFolder checkpoints) throws IOException {
        if (!Files.isDirectory(folder)) {
            return;
        }
        checkpoints.clear();
        try (Stream<Path> files = Files.list(folder)) {
            for (Path file : files.toList()) {
                String name = file.getFileName().toString();
                if (name.equals(TrainingRun.METRICS) || name.startsWith("events.out.tfevents.")) {
                    Files.delete(file);
                }
            }
        }
    }
}
