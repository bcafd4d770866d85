package org.metaflowmaps.cli.option;

import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** {@code --config} of evaluations at items of the map's data. */
public final class ItemsConfigOption {
    @Option(
            names = "--config",
            paramLabel = "CONFIG",
            description = "The configuration whose data provides the items: a YAML file or a built-in one. For"
                    + " Fashion-MNIST these are the test images, else training data. Default: config.yaml beside"
                    + " the checkpoint, else Fashion-MNIST.")
    private @Nullable String config;

    /** Returns the file or name, if given. */
    public Optional<String> get() {
        return Optional.ofNullable(config);
    }
}
