package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.CheckpointOption;
import org.metaflowmaps.cli.option.ConfigOption;
import org.metaflowmaps.cli.option.DataOption;
import org.metaflowmaps.cli.option.DeviceOption;
import org.metaflowmaps.cli.option.GuidanceOption;
import org.metaflowmaps.cli.option.NetworkOption;
import org.metaflowmaps.cli.option.RewardOption;
import org.metaflowmaps.cli.option.StrengthOption;
import org.metaflowmaps.cli.report.RunProgress;
import org.metaflowmaps.models.checkpoint.LoadedNetwork;
import org.metaflowmaps.steering.finetune.FineTuneConfig;
import org.metaflowmaps.steering.finetune.FineTuneLoss;
import org.metaflowmaps.steering.finetune.FineTuning;
import org.metaflowmaps.training.CheckpointFolder;
import org.metaflowmaps.training.RunListener;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.DataConfig;
import org.metaflowmaps.training.data.Datasets;
import org.metaflowmaps.training.data.TrainingData;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code mfm finetune}. */
@Command(
        name = "finetune",
        mixinStandardHelpOptions = true,
        description = "Train a map's drift towards a reward. Sample the result with mfm sample --sampler ode.")
public final class FinetuneCommand implements Callable<Integer> {
    /** The loss. */
    enum Mode {
        exact,
        paper
    }

    @Spec
    private @Nullable CommandSpec spec;

    @Parameters(
            arity = "0..*",
            paramLabel = "[CHECKPOINT] key=value",
            description =
                    "The map's file, unless --pretrained is given; then settings, such as learning_rate=3e-5 batch=32"
                            + " loss.trust=0.1. A wrong name lists all. An option without its dashes is a setting too.")
    private List<String> words = new ArrayList<>();

    @Option(
            names = "--pretrained",
            description = "Fine-tune the Fashion-MNIST map included in mfm instead of a checkpoint.")
    private boolean pretrained;

    @Mixin
    private final NetworkOption network = new NetworkOption();

    @Mixin
    private final RewardOption reward = new RewardOption();

    @Mixin
    private final StrengthOption strength = new StrengthOption();

    @Option(
            names = "--mode",
            description = "The loss: ${COMPLETION-CANDIDATES}. exact learns the tilted law; paper is that of the public"
                    + " code. Default: ${DEFAULT-VALUE}.")
    private Mode mode = Mode.exact;

    @Mixin
    private final GuidanceOption guidance = new GuidanceOption();

    @Option(names = "--steps", paramLabel = "N", description = "Optimiser steps (the setting steps). Default: 10000.")
    private @Nullable Long steps;

    @Mixin
    private final DataOption data = new DataOption();

    @Mixin
    @SuppressWarnings("unused") // ConfigWords reads it
    private final ConfigOption config = new ConfigOption(FineTuneSettings::names);

    @Mixin
    private final WatchOption watch = new WatchOption();

    @Option(
            names = "--out",
            paramLabel = "DIR",
            description = "Folder for checkpoints and metrics. Default: ${DEFAULT-VALUE}.")
    private Path out = Path.of("runs", "finetuned");

    @Option(names = "--resume", description = "Continue from the folder's newest undamaged checkpoint.")
    private boolean resume;

    @Mixin
    private final DeviceOption device = new DeviceOption();

    @Override
    public Integer call() throws IOException {
        CheckpointOption checkpoint = checkpoint();
        strength.get();
        reward.check();
        watch.check();
        settings(1, false);
        CheckpointFolder checkpoints = new CheckpointFolder(out);
        if (!resume && !checkpoints.isEmpty()) {
            throw new IOException("a checkpoint exists in " + out
                    + ": continue from it with --resume, or choose another folder with --out");
        }
        try (LoadedNetwork base = checkpoint.open(device)) {
            Double given = guidance.scale(base.map());
            FineTuneConfig config = settings(given == null ? 1 : given, neverLabelled(checkpoint));
            boolean fashion = EvaluateFashionMnistCommand.fits(base.map());
            requireLabels(config);
            try (LoadedReward loaded =
                            LoadedReward.of(reward, checkpoint, base.map(), new long[0], config.seed(), device.get());
                    FashionReference reference = fashion ? new FashionReference(device.get()) : null;
                    LoadedReward other =
                            watch.open(loaded, reward.spec(), base.map(), reference, config.seed(), device.get());
                    TrainingData source = data(checkpoint, base, config.seed());
                    FineTuning run = new FineTuning(
                            base,
                            source,
                            loaded.tilt(strength.get()),
                            config,
                            watch.evaluation(
                                    checkpoint,
                                    base.map(),
                                    loaded,
                                    other,
                                    reference,
                                    given,
                                    config.seed(),
                                    device.get(),
                                    out),
                            device.get(),
                            out)) {
                PrintWriter terminal =
                        Objects.requireNonNull(spec).commandLine().getOut();
                loaded.describe(terminal);
                if (other != null) {
                    other.describe(terminal);
                }
                finetune(run, source, checkpoints, description(config, loaded));
            }
        }
        return 0;
    }

    /** A text per class has no text for items that lost their label. */
    private void requireLabels(FineTuneConfig config) {
        if (reward.inputs().prompt().isPerClass() && config.loss().labelDrop() > 0) {
            throw new IllegalArgumentException("--prompt has a {} for the class's name, and loss.label_drop="
                    + config.loss().labelDrop()
                    + " takes the label of some items away: set loss.label_drop=0, or give a prompt without {}");
        }
    }

    private FineTuneDescription description(FineTuneConfig config, LoadedReward loaded) {
        Map<String, Object> facts = new LinkedHashMap<>();
        facts.put("command", "mfm " + String.join(" ", arguments()));
        facts.put("reward", reward.spec().toString());
        loaded.settings().ifPresent(text -> facts.put("reward_settings", text));
        facts.put("lambda", strength.get());
        facts.put("evaluated_samples", watch.samples());
        facts.put("evaluated_steps", watch.steps());
        facts.put("settings", config);
        return new FineTuneDescription(out, facts);
    }

    private List<String> arguments() {
        return Objects.requireNonNull(spec)
                .root()
                .commandLine()
                .getParseResult()
                .originalArgs();
    }

    private void finetune(
            FineTuning run, TrainingData source, CheckpointFolder checkpoints, FineTuneDescription description)
            throws IOException {
        AtomicBoolean asked = new AtomicBoolean();
        PrintWriter terminal = Objects.requireNonNull(spec).commandLine().getOut();
        try (GracefulStop stop = new GracefulStop(() -> {
            asked.set(true);
            run.stop();
        })) {
            if (resume) {
                run.resume();
            }
            if (!source.summary().isEmpty()) {
                terminal.println("data: " + source.summary());
            }
            terminal.println("fine-tuning towards " + reward.spec() + " with lambda " + strength.get() + " on "
                    + device.get() + ", results in " + out + (resume ? ", from step " + run.step() : ""));
            terminal.flush();
            boolean complete = run.run(RunListener.of(description, new RunProgress()));
            Path best = out.resolve(FineTuning.BEST);
            terminal.println(complete ? "done: " + checkpoints.newest() : stopped(run, asked.get()));
            if (Files.exists(best)) {
                terminal.println("best by " + watch.name() + ": " + best);
            }
            terminal.flush();
        }
    }

    private String stopped(FineTuning run, boolean asked) {
        if (!asked) {
            return "stopped at step " + run.step() + ", because the independent reward fell";
        }
        List<String> command = new ArrayList<>(List.of(System.getProperty(TrainCommand.COMMAND, "./mfm")));
        command.addAll(arguments());
        if (!resume) {
            command.add("--resume");
        }
        return TrainCommand.resumption(run.step(), command);
    }

    /** Returns the checkpoint among the words, and removes it from them. */
    private CheckpointOption checkpoint() {
        boolean isFile = !words.isEmpty() && !words.getFirst().contains("=");
        if (isFile == pretrained) {
            throw new IllegalArgumentException(
                    isFile
                            ? "a checkpoint, " + words.getFirst() + ", and --pretrained were given: give one of them"
                            : "no map was given: begin with a checkpoint, or give --pretrained");
        }
        Path file = isFile ? Path.of(words.removeFirst()) : null;
        return CheckpointOption.of(file, network, Objects.requireNonNull(spec));
    }

    /** Returns true if the map was trained without labels, so that its rows for them mean nothing. */
    private boolean neverLabelled(CheckpointOption checkpoint) throws IOException {
        TrainConfig known = checkpoint.config();
        return known != null && known.labelDrop() == 1;
    }

    private FineTuneConfig settings(double scale, boolean neverLabelled) {
        FineTuneLoss loss = mode == Mode.exact ? FineTuneLoss.exact(scale) : FineTuneLoss.paper(scale);
        FineTuneConfig.Builder builder = FineTuneConfig.builder()
                .loss(neverLabelled ? loss.toBuilder().labelDrop(1).build() : loss);
        if (steps != null) {
            builder.steps(steps);
        }
        return FineTuneSettings.with(builder.build(), words);
    }

    private TrainingData data(CheckpointOption checkpoint, LoadedNetwork base, long seed) throws IOException {
        TrainConfig known = data.config(checkpoint);
        DataConfig of;
        if (known != null) {
            of = known.data();
        } else if (EvaluateFashionMnistCommand.fits(base.map())) {
            of = DataConfig.builder().kind(DataConfig.Kind.FASHION_MNIST).build();
        } else {
            throw new IOException(
                    "the data of this map is unknown, because there is no config.yaml beside it: give it as"
                            + " --data-config");
        }
        Path folder = data.folder();
        return Datasets.open(
                folder == null ? of : of.toBuilder().folder(folder.toString()).build(), seed, device.get());
    }
}
