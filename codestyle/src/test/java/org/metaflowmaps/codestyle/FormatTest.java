package org.metaflowmaps.codestyle;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The formatter finds and rewrites unformatted files, and then finds none. */
class FormatTest {
    @TempDir
    Path folder;

    @Test
    void rewritesOnlySourcesInAnotherFormat() throws Exception {
        Path sources = Files.createDirectories(folder.resolve("module/src/main/java"));
        Path good = Files.writeString(sources.resolve("Good.java"), "class Good {}\n");
        Path bad = Files.writeString(
                sources.resolve("Record.java"), "record  Record( int  a ){ Record{ if(a<0){throw new Error();} } }");
        Path generated =
                Files.createDirectories(folder.resolve("module/target/src")).resolve("Other.java");
        Files.writeString(generated, "class  Other{}");

        assertEquals(List.of(bad), Format.others(folder, false));
        assertEquals(List.of(bad), Format.others(folder, true));
        assertEquals(List.of(), Format.others(folder, false));
        assertEquals("class Good {}\n", Files.readString(good));
        assertEquals("class  Other{}", Files.readString(generated));
    }
}
