package org.metaflowmaps.cli.option;

import java.nio.file.Path;
import java.util.List;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** {@code --config}: a file of a command's options. {@link ConfigWords} puts them into the command line before it is parsed. */
public final class ConfigOption {
    static final String NAME = "--config";

    @Option(
            names = NAME,
            paramLabel = "FILE",
            description = "A YAML file of options by their names without dashes, such as draws: 4, and budget: {nfe:"
                    + " 5000}. Options of the command line win; they may be written there as draws=4 too.")
    @SuppressWarnings("unused") // for the help text: ConfigWords takes the option away
    private @Nullable Path file;

    private final Supplier<List<String>> settings;

    /** Makes the option of a command whose words are its options only. */
    public ConfigOption() {
        this(List::of);
    }

    /**
     * Makes the option of a command that has settings besides its options.
     *
     * @param settings their names, with a dot before those of an inner mapping
     */
    public ConfigOption(Supplier<List<String>> settings) {
        this.settings = settings;
    }

    List<String> settings() {
        return settings.get();
    }
}
