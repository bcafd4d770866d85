package org.metaflowmaps.cli;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.CheckpointLayout;
import org.metaflowmaps.runtime.file.TensorFile;
import org.metaflowmaps.runtime.internal.Suggestions;
import picocli.CommandLine.Option;

/** Which of a file's networks is meant. */
final class PrefixOption {
    @Option(names = "--prefix", paramLabel = "PREFIX",
            description = "The text before the network's names in the file, such as ema. or model.dit. Default: found by itself.")
    private @Nullable String prefix;

    /** The network's place in a file, or nothing if the file has none that is known. */
    Optional<CheckpointLayout> find(TensorFile open, Path file) throws IOException {
        if (prefix != null) {
            Set<String> names = open.entries().keySet();
            String given = prefix;
            boolean asGiven = given.isEmpty() || given.endsWith(".") || names.stream().noneMatch(name -> name.startsWith(given + "."));
            String before = asGiven ? given : given + ".";
            if (!before.isEmpty() && Stream.concat(names.stream(), open.unreadable().keySet().stream())
                    .noneMatch(name -> name.startsWith(before))) {
                List<String> networks = CheckpointLayout.prefixes(open);
                throw new IOException(file + ": no tensor's name begins with --prefix '" + given + "'; "
                        + (networks.isEmpty() ? "the file has no network that mfm knows"
                        : "its networks are under the prefixes " + networks + Suggestions.didYouMean(given, networks)));
            }
            return Optional.of(CheckpointLayout.at(open, before));
        }
        try {
            return CheckpointLayout.detect(open);
        } catch (IOException e) {
            throw new IOException(file + ": " + e.getMessage(), e);
        }
    }
}
