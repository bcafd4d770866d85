package org.metaflowmaps.cli.option;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.CheckpointLayout;
import org.metaflowmaps.runtime.file.TensorFile;
import org.metaflowmaps.runtime.internal.Suggestions;
import picocli.CommandLine.Option;

/** Which of a file's networks is meant. */
public final class PrefixOption {
    @Option(
            names = "--prefix",
            paramLabel = "PREFIX",
            description =
                    "The text before the network's names in the file, such as ema. or model.dit. Default: found by"
                            + " itself.")
    private @Nullable String prefix;

    /** The network's place in a file, or nothing if the file has none that is known. */
    public Optional<CheckpointLayout> find(TensorFile open, Path file) throws IOException {
        if (prefix != null) {
            try {
                return Optional.of(CheckpointLayout.chosen(open, prefix));
            } catch (IOException e) {
                throw new IOException(
                        file + ": --prefix '" + prefix + "': " + e.getMessage()
                                + Suggestions.didYouMean(prefix, CheckpointLayout.prefixes(open)),
                        e);
            }
        }
        try {
            return CheckpointLayout.detect(open);
        } catch (IOException e) {
            throw new IOException(file + ": " + e.getMessage() + " (--prefix PREFIX)", e);
        }
    }
}
