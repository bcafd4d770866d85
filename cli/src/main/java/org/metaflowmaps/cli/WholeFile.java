package org.metaflowmaps.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/** Writes files whole or not at all: beside their place first, then renamed into it. */
final class WholeFile {
    private WholeFile() {
    }

    /**
     * Writes or replaces a file; makes its folder if missing.
     *
     * @throws IOException if it cannot be written; what was there before then stays
     */
    static void write(Path file, byte[] content) throws IOException {
        Path place = file.toAbsolutePath();
        Path folder = place.getParent();
        if (folder == null) {
            throw new IOException(file + " is a folder, expected the name of a file to write");
        }
        Files.createDirectories(folder);
        // Not Files.createTempFile, whose files nobody else may read.
        Path beside = place.resolveSibling("." + place.getFileName() + ".tmp");
        try {
            Files.write(beside, content);
            Files.move(beside, place, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } finally {
            Files.deleteIfExists(beside);
        }
    }
}
