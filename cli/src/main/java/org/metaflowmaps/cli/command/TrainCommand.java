package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.DeviceOption;
import org.metaflowmaps.cli.option.ProfileOption;
import org.metaflowmaps.cli.report.ImageGrid;
import org.metaflowmaps.cli.report.RunProgress;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.runtime.file.AtomicFile;
import org.metaflowmaps.training.CheckpointFolder;
import org.metaflowmaps.training.TrainingRun;
import org.metaflowmaps.training.config.Configs;
import org.metaflowmaps.training.data.Datasets;
import org.metaflowmaps.training.data.TrainingData;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mfm train}. */
@Command(
        name = "train",
        mixinStandardHelpOptions = true,
        description = "Train a meta flow map from a configuration file.")
public final class TrainCommand implements Callable<Integer> {
    /** The resolved configuration's name in a run's folder. */
    static final String CONFIG = "config.yaml";

    /** The launcher's path as the user called it, so that printed commands work in the user's folder. */
    static final String COMMAND = "org.metaflowmaps.command";

    @Spec
    private @Nullable CommandSpec spec;

    @Parameters(
            index = "0",
            paramLabel = "CONFIG",
            description = "A YAML file, or a built-in configuration: quickstart, or mixture, fashion-mnist,"
                    + " sit-b2 or sit-xl2 followed by /flow, /flow-map, /meta-flow-map or /distill.")
    private String config = "";

    @Parameters(
            index = "1..*",
            paramLabel = "key=value",
            description = "Settings that override the file's, such as optimizer.learning_rate=3e-4.")
    private List<String> overrides = new ArrayList<>();

    @Option(
            names = "--out",
            paramLabel = "DIR",
            description = "Folder for checkpoints and metrics. Default: runs/NAME.")
    private @Nullable Path out;

    @Option(
            names = "--data",
            paramLabel = "DIR",
            description = "Folder with the data's files (the setting data.folder).")
    private @Nullable Path data;

    @Option(names = "--resume", description = "Continue from the folder's newest undamaged checkpoint.")
    private boolean resume;

    @Mixin
    private final ProfileOption profile = new ProfileOption();

    @Mixin
    private final DeviceOption device = new DeviceOption();

    @Override
    public Integer call() throws IOException {
        List<String> settings = new ArrayList<>(overrides);
        if (data != null) {
            settings.add(Configs.setting("data.folder", data.toString()));
        }
        Configs.Resolved resolved = Configs.load(config, settings);
        Path folder = out != null
                ? out
                : Path.of("runs")
                        .resolve(
                                Configs.BUILT_IN.contains(config)
                                        ? config
                                        : Path.of(config)
                                                .getFileName()
                                                .toString()
                                                .replaceAll("\\.ya?ml$", ""));
        CheckpointFolder checkpoints = new CheckpointFolder(folder);
        if (!resume && !checkpoints.isEmpty()) {
            throw new IOException("a checkpoint exists in " + folder
                    + ": continue from it with --resume, or choose another folder with --out");
        }
        String init = resolved.config().init();
        if (!resume && init != null && !resolved.clockGiven()) {
            Networks.requireClock(Path.of(init));
        }
        PrintWriter terminal = Objects.requireNonNull(spec).commandLine().getOut();
        try (TrainingData source = Datasets.open(
                        resolved.config().data(), resolved.config().seed(), device.get());
                TrainingRun run = new TrainingRun(resolved.config(), source, device.get(), folder);
                GracefulStop stop = new GracefulStop(run::stop)) {
            run.pictures(ImageGrid::png);
            if (resume) {
                run.resume();
            } else {
                run.initialise();
            }
            write(resolved, folder);
            if (!source.summary().isEmpty()) {
                terminal.println("data: " + source.summary());
            }
            terminal.println("training " + run.map().parameters().count() + " parameters on " + device.get()
                    + ", results in " + folder + (resume ? ", from step " + run.step() : ""));
            terminal.flush();
            terminal.println(
                    run.run(profile.with(new RunProgress()))
                            ? "done: " + checkpoints.newest()
                            : resumption(run, folder, device));
            terminal.flush();
        }
        return 0;
    }

    /** Returns the line to print after a stop. */
    static String resumption(TrainingRun run, Path folder, DeviceOption device) {
        List<String> command = new ArrayList<>(List.of(
                System.getProperty(COMMAND, "./mfm"),
                "train",
                folder.resolve(CONFIG).toString(),
                "--out",
                folder.toString()));
        if (device.given() != null) {
            command.addAll(List.of("--device", device.given().toString()));
        }
        command.add("--resume");
        return resumption(run.step(), command);
    }

    /** Returns the line to print after a stop, with the command that continues. */
    static String resumption(long step, List<String> command) {
        return "stopped at step " + step + "; continue with: "
                + command.stream().map(TrainCommand::quoted).collect(Collectors.joining(" "));
    }

    /** Quotes a word for a shell. */
    static String quoted(String word) {
        return word.matches("[\\w./:=@%+,-]+") ? word : "'" + word.replace("'", "'\\''") + "'";
    }

    static void write(Configs.Resolved resolved, Path folder) throws IOException {
        byte[] text = resolved.yaml().getBytes(StandardCharsets.UTF_8);
        AtomicFile.write(folder.resolve(CONFIG), text.length, channel -> {
            ByteBuffer buffer = ByteBuffer.wrap(text);
            while (buffer.hasRemaining()) {
                channel.write(buffer);
            }
        });
    }
}
