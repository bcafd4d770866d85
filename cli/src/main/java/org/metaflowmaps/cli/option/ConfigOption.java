package org.metaflowmaps.cli.option;

import java.nio.file.Path;
import java.util.List;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** {@code --config}: a file of a command's options. {@link ConfigWords} puts them into the command line before it is parsed. */
public final class ConfigOption {
    static final String NAME = "--config";

    /** The built-in files, by name; each is for the command after the slash. */
    public static final List<String> BUILT_IN =
            List.of("sit-b2/steer", "sit-b2/finetune", "sit-xl2/steer", "sit-xl2/finetune");

    @Option(
            names = NAME,
            paramLabel = "FILE",
            description = "A YAML file of options by their names without dashes, such as draws: 4, and budget: {nfe:"
                    + " 5000}; or a built-in one, such as sit-xl2/steer. Options of the command line win; they may be"
                    + " written there as draws=4 too.")
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
