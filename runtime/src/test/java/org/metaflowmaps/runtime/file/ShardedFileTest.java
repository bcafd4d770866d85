package org.metaflowmaps.runtime.file;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

class ShardedFileTest {
    @TempDir
    private Path folder;

    private Path twoShards() throws IOException {
        for (String name : List.of("a", "b")) {
            String header = "{" + SafetensorsSamples.entry(name, "U8", "[3]", "[0,3]") + "}";
            Files.write(folder.resolve(name + ".safetensors"), SafetensorsSamples.file(header, 3));
        }
        return Files.writeString(
                folder.resolve("model.safetensors.index.json"),
                "{\"weight_map\":{\"a\":\"a.safetensors\",\"b\":\"b.safetensors\"}}");
    }

    @Test
    void anErrorClosesTheShardsThatAreOpen() throws IOException {
        Path index = twoShards();
        List<TensorFile> opened = new ArrayList<>();
        Error error = new StackOverflowError("while the second shard is read");
        Error thrown = assertThrows(
                StackOverflowError.class,
                () -> ShardedFile.open(index, file -> {
                            if (!opened.isEmpty()) {
                                throw error;
                            }
                            TensorFile shard = TensorFile.openOne(file);
                            opened.add(shard);
                            return shard;
                        })
                        .close());
        assertSame(error, thrown);
        assertEquals(1, opened.size());
        assertThrows(IllegalStateException.class, () -> opened.getFirst().view("a"));
    }

    private static void assertUnlisted(Path parent, Executable action) {
        String message = String.valueOf(assertThrows(IOException.class, action).getMessage());
        assertTrue(message.startsWith(parent + " cannot be listed (") && message.contains("chmod u+rx"), message);
    }

    @Test
    void aFolderThatCannotBeListedIsNamedWithACure() throws IOException {
        Path file = twoShards().resolveSibling("a.safetensors");
        assertUnlisted(file, () -> ShardedFile.matching(file, "*"));
        assertEquals(List.of(), ShardedFile.matching(folder.resolve("missing"), "*"));
        assumeTrue(folder.toFile().setReadable(false) && !Files.isReadable(folder), "this user may read everywhere");
        try {
            assertUnlisted(folder, () -> TensorFile.open(file).close());
            assertUnlisted(folder, () -> TensorFile.open(folder).close());
        } finally {
            assertTrue(folder.toFile().setReadable(true));
        }
    }
}
