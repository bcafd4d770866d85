package org.metaflowmaps.cli.option;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.training.config.Configs;
import org.metaflowmaps.training.config.TrainConfig;
import picocli.CommandLine.Option;

/** The data of a map's training, for commands that need some of it. */
public final class DataOption {
    @Option(
            names = "--data-config",
            paramLabel = "CONFIG",
            description = "The training configuration whose data is used: a YAML file or a built-in one. Default:"
                    + " config.yaml beside the checkpoint, else Fashion-MNIST if the map fits it.")
    private @Nullable String config;

    @Option(
            names = "--data",
            paramLabel = "DIR",
            description = "Folder with the data's files. Default: the configuration's; for Fashion-MNIST the 10,000"
                    + " images included in mfm.")
    private @Nullable Path folder;

    /** Returns the training configuration of the data; null if it is unknown. */
    public @Nullable TrainConfig config(CheckpointOption checkpoint) throws IOException {
        Path beside = checkpoint.beside("config.yaml");
        String name = config != null ? config : beside == null ? null : beside.toString();
        List<String> settings = folder == null ? List.of() : List.of(Configs.setting("data.folder", folder.toString()));
        return name == null ? null : Configs.load(name, settings).config();
    }

    /** Returns the given folder; null for the configuration's. */
    public @Nullable Path folder() {
        return folder;
    }
}
