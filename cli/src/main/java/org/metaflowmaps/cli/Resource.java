package org.metaflowmaps.cli;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/** Copies resources of the jar to files, because a resource inside a jar cannot be memory-mapped. */
final class Resource {
    private Resource() {}

    /**
     * Copies a resource of this package to a temporary file, which goes at the latest when the JVM does.
     *
     * @param name its path below this package
     * @throws FileNotFoundException if this build came without it
     */
    static Path copy(String name) throws IOException {
        try (InputStream resource = Resource.class.getResourceAsStream(name)) {
            if (resource == null) {
                throw new FileNotFoundException("this build of mfm came without " + name);
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
