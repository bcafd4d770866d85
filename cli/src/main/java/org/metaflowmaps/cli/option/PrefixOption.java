package org.metaflowmaps.cli.option;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.CheckpointLayout;
import org.metaflowmaps.runtime.file.TensorFile;
import org.metaflowmaps.runtime.internal.Suggestions;
import picocli.CommandLine.Option;

/** Chooses one of a file's networks. */
public final class PrefixOption {
    @Option(
            names = "--prefix",
            paramLabel = "PREFIX",
            description = "Prefix of the network's names in the file, such as ema. or model.dit. Default: found"
                    + " automatically.")
    private @Nullable String prefix;

    /** Returns the network's layout in a file; empty if the file has no known network. */
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
