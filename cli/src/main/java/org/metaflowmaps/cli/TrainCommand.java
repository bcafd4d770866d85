package org.metaflowmaps.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.AtomicFile;
import org.metaflowmaps.training.Trainer;
import org.metaflowmaps.training.data.TrainingData;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mfm train}. */
@Command(name = "train", mixinStandardHelpOptions = true, description = "Train a meta flow map as a configuration file says.")
final class TrainCommand implements Callable<Integer> {
    /** The resolved configuration's name in a run's folder. */
    static final String CONFIG = "config.yaml";

    @Spec
    private @Nullable CommandSpec spec;

    @Parameters(index = "0", paramLabel = "CONFIG",
            description = "A YAML file, or the name of a configuration that comes with mfm: quickstart, fashion-mnist, mixture.")
    private String config = "";

    @Parameters(index = "1..*", paramLabel = "key=value", description = "Settings that replace the file's, such as optimizer.learning_rate=3e-4.")
    private List<String> overrides = new ArrayList<>();

    @Option(names = "--out", paramLabel = "DIR", description = "Where to leave checkpoints and metrics. Default: runs/NAME.")
    private @Nullable Path out;

    @Option(names = "--data", paramLabel = "DIR", description = "Folder with the data's files (the setting data.folder).")
    private @Nullable Path data;

    @Option(names = "--resume", description = "Go on from the folder's checkpoint.")
    private boolean resume;

    @Mixin
    private final DeviceOption device = new DeviceOption();

    @Override
    public Integer call() throws IOException {
        List<String> settings = new ArrayList<>(overrides);
        if (data != null) {
            settings.add("data.folder=" + data);
        }
        Configs.Resolved resolved = Configs.load(config, settings);
        Path folder = out != null ? out : Path.of("runs", Path.of(config).getFileName().toString().replaceAll("\\.ya?ml$", ""));
        Path checkpoint = folder.resolve(Trainer.CHECKPOINT);
        if (!resume && Files.exists(checkpoint)) {
            throw new IOException(checkpoint + " exists: go on from it with --resume, or choose another folder with --out");
        }
        PrintWriter terminal = Objects.requireNonNull(spec).commandLine().getOut();
        try (TrainingData source = DataSource.open(resolved.config(), device.get());
                Trainer trainer = new Trainer(resolved.config(), source, device.get(), folder);
                GracefulStop stop = new GracefulStop(trainer)) {
            if (resume) {
                trainer.resume();
            } else {
                trainer.initialise();
            }
            write(resolved, folder);
            terminal.println("training " + trainer.map().parameters().count() + " parameters on " + device.get() + ", results in " + folder
                    + (resume ? ", from step " + trainer.step() : ""));
            terminal.flush();
            terminal.println(trainer.run() ? "done: " + checkpoint : resumption(trainer, folder));
            terminal.flush();
        }
        return 0;
    }

    /** What to tell after a stop. */
    static String resumption(Trainer trainer, Path folder) {
        return "stopped at step " + trainer.step() + "; go on with: ./mfm train " + folder.resolve(CONFIG) + " --out " + folder + " --resume";
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
