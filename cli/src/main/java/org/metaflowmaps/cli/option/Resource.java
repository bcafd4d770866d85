package org.metaflowmaps.cli.option;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/** Copies resources of the jar to files, because a resource inside a jar cannot be memory-mapped. */
public final class Resource {
    /** Absolute, because the command's classes are in several packages. */
    private static final String ROOT = "/org/metaflowmaps/cli/";

    private Resource() {}

    /**
     * Reads a resource of the command as a text.
     *
     * @param name its path below {@code org/metaflowmaps/cli}
     * @throws FileNotFoundException if this build does not include it
     */
    static String text(String name) throws IOException {
        try (InputStream resource = Resource.class.getResourceAsStream(ROOT + name)) {
            if (resource == null) {
                throw new FileNotFoundException("this build of mfm was made without " + name);
            }
            return new String(resource.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    /**
     * Copies a resource of the command to a temporary file, which is deleted at the latest when the JVM exits.
     *
     * @param name its path below {@code org/metaflowmaps/cli}
     * @throws FileNotFoundException if this build does not include it
     */
    public static Path copy(String name) throws IOException {
        try (InputStream resource = Resource.class.getResourceAsStream(ROOT + name)) {
            if (resource == null) {
                throw new FileNotFoundException("this build of mfm was made without " + name);
            }
            Path folder = Files.createTempDirectory("mfm");
            folder.toFile().deleteOnExit();
            Path copy = folder.resolve(Path.of(name).getFileName().toString());
            copy.toFile().deleteOnExit();
            Files.copy(resource, copy, StandardCopyOption.REPLACE_EXISTING);
            return copy;
        }
    }
}
