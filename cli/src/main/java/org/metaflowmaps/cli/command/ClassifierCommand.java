package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.DeviceOption;
import org.metaflowmaps.steering.evaluation.ClassifierKind;
import org.metaflowmaps.steering.evaluation.ClassifierTraining;
import org.metaflowmaps.training.data.FashionMnist;
import org.metaflowmaps.training.data.LabelledImages;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/**
 * {@code mfm classifier}: trains the classifiers included in mfm; hidden from the list of commands, because it has no
 * other use.
 */
@Command(
        name = "classifier",
        mixinStandardHelpOptions = true,
        hidden = true,
        description =
                "Train one of the classifiers of Fashion-MNIST: the convolutional one provides rewards and the features"
                        + " of the Fréchet distance, the mixer judges steered images.")
public final class ClassifierCommand implements Callable<Integer> {
    @Spec
    private @Nullable CommandSpec spec;

    @Option(
            names = "--kind",
            paramLabel = "KIND",
            description = "The architecture: ${COMPLETION-CANDIDATES}. Default: ${DEFAULT-VALUE}.")
    private ClassifierKind kind = ClassifierKind.CONVOLUTIONAL;

    @Option(
            names = "--data",
            paramLabel = "DIR",
            required = true,
            description = "Folder with the 60,000 training images.")
    private Path data = Path.of("");

    @Option(
            names = "--out",
            paramLabel = "FILE",
            required = true,
            description = "Where to write the weights, a .safetensors file.")
    private Path out = Path.of("");

    @Option(names = "--epochs", paramLabel = "N", description = "Passes over the images. Default: ${DEFAULT-VALUE}.")
    private int epochs = 10;

    @Option(names = "--seed", paramLabel = "N", description = "Seed of weights and order. Default: ${DEFAULT-VALUE}.")
    private long seed = 1;

    @Option(names = "--mirror", description = "Mirror half of the training images, against overfitting.")
    private boolean mirrored;

    @Mixin
    private final DeviceOption device = new DeviceOption();

    @Override
    public Integer call() throws IOException {
        PrintWriter terminal = Objects.requireNonNull(spec).commandLine().getOut();
        LabelledImages test = FashionMnist.test();
        new ClassifierTraining(kind, epochs, seed, mirrored)
                .run(FashionMnist.train(data), test, device.get(), out, (epoch, loss, correct) -> {
                    terminal.printf(
                            Locale.ROOT,
                            "epoch %d: loss %.4f, %.2f %% of %d test images correct%n",
                            epoch,
                            loss,
                            100.0 * correct / test.count(),
                            test.count());
                    terminal.flush();
                });
        terminal.println(out);
        terminal.flush();
        return 0;
    }
}
