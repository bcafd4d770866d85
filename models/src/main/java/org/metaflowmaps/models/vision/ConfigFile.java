package org.metaflowmaps.models.vision;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.Function;

/** The {@code config.json} that published folders have beside the weights. */
final class ConfigFile {
    private static final long MOST_BYTES = 1_000_000;

    private ConfigFile() {}

    /** Reads the settings in a file's folder, if there are any. */
    static <T> Optional<T> beside(Path file, Function<String, T> settings) throws IOException {
        Path folder = Files.isDirectory(file) ? file : file.toAbsolutePath().getParent();
        Path config = folder == null ? file : folder.resolve("config.json");
        if (folder == null || !Files.isRegularFile(config)) {
            return Optional.empty();
        }
        if (Files.size(config) > MOST_BYTES) {
            throw new IOException(config + " has " + Files.size(config) + " bytes, expected at most " + MOST_BYTES);
        }
        try {
            return Optional.of(settings.apply(Files.readString(config)));
        } catch (IllegalArgumentException e) {
            throw new IOException(config + ": " + e.getMessage(), e);
        }
    }

    /** Returns the exception with the file's name in its message. */
    static IOException named(Path file, IOException failure) {
        String message = String.valueOf(failure.getMessage());
        return message.contains(file.toString()) ? failure : new IOException(file + ": " + message, failure);
    }
}
