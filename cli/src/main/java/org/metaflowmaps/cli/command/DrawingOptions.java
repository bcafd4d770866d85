package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.CheckpointOption;
import org.metaflowmaps.cli.option.ClassOption;
import org.metaflowmaps.cli.option.DeviceOption;
import org.metaflowmaps.cli.option.GuidanceOption;
import org.metaflowmaps.cli.option.NetworkOption;
import org.metaflowmaps.cli.option.VaeOption;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.steering.reward.LatentDecoder;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;

/** Options of samples to draw from a map, for {@code mfm evaluate fid}. */
final class DrawingOptions {
    @Option(names = "--pretrained", description = "Use the Fashion-MNIST map included in mfm instead of a checkpoint.")
    private boolean pretrained;

    @Mixin
    private final NetworkOption network = new NetworkOption();

    @Mixin
    private final ClassOption classes = new ClassOption();

    @Option(names = "--count", paramLabel = "N", description = "Samples to draw of a map. Default: ${DEFAULT-VALUE}.")
    private int count = 10_000;

    @Option(
            names = "--labels",
            paramLabel = "KIND",
            description =
                    "Classes of drawn samples: ${COMPLETION-CANDIDATES}, one after the other, or uniformly at random"
                            + " as DiT and the public MFM code do. Default: ${DEFAULT-VALUE}.")
    private Labels order = Labels.turn;

    @Option(
            names = "--quantise",
            paramLabel = "KIND",
            description =
                    "Drawn samples in 8 bits: ${COMPLETION-CANDIDATES}, to the nearest level as SiT and DiT do, or"
                            + " down as the public MFM code does. Default: ${DEFAULT-VALUE}.")
    private Quantisation quantisation = Quantisation.round;

    /** The order of classes. */
    enum Labels {
        turn,
        random
    }

    @Option(names = "--steps", paramLabel = "N", description = "Steps per sample. Default: ${DEFAULT-VALUE}.")
    private int steps = 25;

    @Option(
            names = "--sampler",
            paramLabel = "KIND",
            description = "${COMPLETION-CANDIDATES}, as for mfm sample. Default: ${DEFAULT-VALUE}, Euler steps along"
                    + " the drift.")
    private SampleCommand.Kind kind = SampleCommand.Kind.ode;

    @Mixin
    private final GuidanceOption guidance = new GuidanceOption();

    @Mixin
    private final VaeOption vae = new VaeOption();

    @Option(names = "--seed", paramLabel = "N", description = "Seed of the noise. Default: ${DEFAULT-VALUE}.")
    private long seed = 1;

    /** Checks the options that need no file. */
    void check(@Nullable Path file) {
        if ((file == null) != pretrained) {
            throw new IllegalArgumentException(
                    file == null
                            ? "no samples were given: begin with a folder, a .npz file or a checkpoint, or give"
                                    + " --pretrained"
                            : "a file, " + file + ", and --pretrained were given: give one of them");
        }
        if (count < 2 || steps < 1) {
            throw new IllegalArgumentException(
                    "--count " + count + " --steps " + steps + ": give at least 2 samples and 1 step");
        }
    }

    /** Loads a map whose samples are drawn when they are read; null for the included one. */
    ImageSource open(@Nullable Path file, DeviceOption device, CommandSpec command) throws IOException {
        CheckpointOption checkpoint = CheckpointOption.of(file, network, command);
        MetaFlowMap map = checkpoint.load(device);
        LatentDecoder latents = null;
        try {
            String name = file == null ? "the map included in mfm" : file.toString();
            latents = vae.open(checkpoint, map, LatentDecoder.Clamp.EXACT, device.get());
            if (latents == null) {
                SampleArchive.requireImages(map, name);
            }
            long[] labels = classes.labels(map, checkpoint.classNames(map));
            MapSamples samples = new MapSamples(count, labels, guidance.scale(map), seed, device.get());
            String drawn = count + " samples by " + kind + ", " + steps + " steps, seed " + seed + ", labels "
                    + (map.classes() == 0 ? "none" : describe(labels))
                    + (quantisation == Quantisation.round ? "" : ", " + quantisation)
                    + (samples.scale() == null ? "" : ", guidance " + samples.scale())
                    + (latents == null ? "" : ", decoded by " + vae.file());
            return new DrawnImages(
                    map,
                    MapSamples.by(kind, map, steps),
                    samples,
                    order,
                    quantisation,
                    latents,
                    name + ": " + drawn,
                    "map " + version(file) + ", settings " + network.identity() + ", " + drawn + ", on " + device.get()
                            + ", autoencoder " + version(vae.file()));
        } catch (IOException | RuntimeException e) {
            if (latents != null) {
                latents.close();
            }
            map.close();
            throw e;
        }
    }

    /** Returns a text that differs for another file, so that stored features are not those of other weights. */
    private static String version(@Nullable Path file) throws IOException {
        return file == null
                ? "none"
                : Files.isDirectory(file)
                        ? file.toString()
                        : Files.size(file) + " bytes of "
                                + Files.getLastModifiedTime(file).toMillis();
    }

    private String describe(long[] labels) {
        boolean all = labels.length > 1
                && Arrays.equals(labels, LongStream.range(0, labels.length).toArray());
        return (all
                        ? "0 to " + (labels.length - 1)
                        : Arrays.stream(labels).mapToObj(Long::toString).collect(Collectors.joining(", ")))
                + (order == Labels.turn ? " in turn" : " at random");
    }
}
