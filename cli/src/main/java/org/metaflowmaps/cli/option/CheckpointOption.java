package org.metaflowmaps.cli.option;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.models.checkpoint.LoadedNetwork;
import org.metaflowmaps.models.checkpoint.NetworkSettings;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.file.TensorFile;
import org.metaflowmaps.training.Checkpoint;
import org.metaflowmaps.training.config.Configs;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.DataConfig;
import org.metaflowmaps.training.data.FashionMnist;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** The checkpoint argument of commands that draw images. */
public final class CheckpointOption {
    private static final String PRETRAINED = "pretrained/fashion-mnist.safetensors";

    @ArgGroup(exclusive = true, multiplicity = "1")
    private @Nullable Choice choice;

    /** The checkpoint or the included map. */
    static final class Choice {
        @Parameters(
                index = "0",
                paramLabel = "CHECKPOINT",
                description = "A checkpoint.safetensors of mfm, or a "
                        + "public file or folder of SiT, DMF or MFM, of safetensors or PyTorch's.")
        private @Nullable Path file;

        @Option(
                names = "--pretrained",
                description = "Use the Fashion-MNIST map included in mfm instead of a checkpoint.")
        private boolean pretrained;
    }

    @Mixin
    private final NetworkOption network;

    @Spec(Spec.Target.MIXEE)
    private @Nullable CommandSpec command;

    /** Makes the option of picocli. */
    public CheckpointOption() {
        this(new NetworkOption());
    }

    /**
     * Makes the option of a command that parses its words itself.
     *
     * @param file null for the included map
     * @param network settings of a public file
     * @param command prints what a public file holds
     */
    public static CheckpointOption of(@Nullable Path file, NetworkOption network, CommandSpec command) {
        CheckpointOption made = new CheckpointOption(network);
        made.command = command;
        made.choice = new Choice();
        made.choice.file = file;
        made.choice.pretrained = file == null;
        return made;
    }

    private CheckpointOption(NetworkOption network) {
        this.network = network;
    }

    /** Loads a network of any items with its settings, owned by the caller. */
    public LoadedNetwork open(DeviceOption device) throws IOException {
        requireWhole();
        return open(device.get());
    }

    /** Loads a network of images, owned by the caller; checks the file before it loads libtorch. */
    public MetaFlowMap load(DeviceOption device) throws IOException {
        requireWhole();
        return load(device.get());
    }

    /** Loads a network of any items, owned by the caller. */
    public MetaFlowMap loadAny(DeviceOption device) throws IOException {
        requireWhole();
        return loadAny(device.get());
    }

    private void requireWhole() throws IOException {
        Path file = Objects.requireNonNull(choice).file;
        if (file != null) {
            network.check(file);
        } else if (network.isGiven()) {
            throw new IllegalArgumentException(
                    "--pretrained needs no --model, --set or --prefix: they are for public files");
        }
    }

    private MetaFlowMap load(Device device) throws IOException {
        Path file = Objects.requireNonNull(choice).file;
        return images(loadAny(device), file == null ? "the map included in mfm" : file.toString());
    }

    private MetaFlowMap loadAny(Device device) throws IOException {
        return open(device).map();
    }

    private LoadedNetwork open(Device device) throws IOException {
        Choice chosen = Objects.requireNonNull(choice);
        if (chosen.pretrained) {
            return pretrained(PRETRAINED, device);
        }
        LoadedNetwork loaded = network.open(Objects.requireNonNull(chosen.file), device);
        if (!loaded.described()) {
            PrintWriter errors = Objects.requireNonNull(command).commandLine().getErr();
            errors.println(chosen.file + ": " + loaded.found());
            errors.flush();
        }
        return loaded;
    }

    /** Returns the file of that name in the checkpoint's folder; null if it does not exist. */
    public @Nullable Path beside(String name) {
        Path file = Objects.requireNonNull(choice).file;
        Path other = file == null ? null : file.resolveSibling(name);
        return other != null && Files.isRegularFile(other) ? other : null;
    }

    /** Returns the configuration beside the checkpoint; null if that file does not exist. */
    public @Nullable TrainConfig config() throws IOException {
        Path file = beside("config.yaml");
        return file == null ? null : Configs.load(file.toString(), List.of()).config();
    }

    /** Returns how the latents of the map's data follow from an autoencoder's; empty if the checkpoint does not say. */
    public Optional<LatentScaling> latents() throws IOException {
        Path file = Objects.requireNonNull(choice).file;
        if (file == null || !file.toString().endsWith(".safetensors") || !Files.isRegularFile(file)) {
            return Optional.empty();
        }
        try (TensorFile open = TensorFile.open(file)) {
            return Networks.latents(open, file);
        }
    }

    /** Loads the map in a resource of the command, owned by the caller. */
    static LoadedNetwork pretrained(String resource, Device device) throws IOException {
        Path copy;
        try {
            copy = Resource.copy(resource);
        } catch (FileNotFoundException e) {
            throw new IOException(
                    "--pretrained: " + e.getMessage()
                            + "; train a map with: mfm train fashion-mnist/distill, and give its checkpoint",
                    e);
        }
        try {
            LoadedNetwork loaded = Networks.open(copy, NetworkSettings.none(), device);
            images(loaded.map(), resource);
            return loaded;
        } finally {
            Files.delete(copy);
            Files.delete(Objects.requireNonNull(copy.getParent()));
        }
    }

    private static MetaFlowMap images(MetaFlowMap map, String name) throws IOException {
        if (map.itemShape().dim() != 3) {
            map.close();
            throw new IOException(name + " holds a map of vectors; this command draws images");
        }
        return map;
    }

    /** Returns the names of its classes. */
    public ClassNames classNames(MetaFlowMap map) throws IOException {
        Choice chosen = Objects.requireNonNull(choice);
        if (chosen.pretrained) {
            return new ClassNames(FashionMnist.CLASSES, map.classes());
        }
        List<String> names = Checkpoint.classNames(Objects.requireNonNull(chosen.file));
        Path config = beside("config.yaml");
        if (names.isEmpty() && config != null && ofFashionMnist(config)) {
            names = FashionMnist.CLASSES;
        }
        return new ClassNames(names, map.classes());
    }

    /** Returns whether a run's configuration names Fashion-MNIST; false if it cannot be read. */
    @SuppressWarnings("UnusedException")
    private static boolean ofFashionMnist(Path config) {
        try {
            return Configs.load(config.toString(), List.of()).config().data().kind() == DataConfig.Kind.FASHION_MNIST;
        } catch (IOException e) {
            return false;
        }
    }
}
