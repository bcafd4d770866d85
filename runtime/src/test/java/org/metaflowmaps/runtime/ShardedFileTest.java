package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ShardedFileTest {
    @TempDir
    private Path folder;

    private Path twoShards() throws IOException {
        for (String name : List.of("a", "b")) {
            String header = "{" + SafetensorsSamples.entry(name, "U8", "[3]", "[0,3]") + "}";
            Files.write(folder.resolve(name + ".safetensors"), SafetensorsSamples.file(header, 3));
        }
        return Files.writeString(folder.resolve("model.safetensors.index.json"),
                "{\"weight_map\":{\"a\":\"a.safetensors\",\"b\":\"b.safetensors\"}}");
    }

    @Test
    void anErrorClosesTheShardsThatAreOpen() throws IOException {
        Path index = twoShards();
        List<TensorFile> opened = new ArrayList<>();
        Error error = new StackOverflowError("while the second shard is read");
        Error thrown = assertThrows(StackOverflowError.class, () -> ShardedFile.open(index, file -> {
            if (!opened.isEmpty()) {
                throw error;
            }
            TensorFile shard = TensorFile.openOne(file);
            opened.add(shard);
            return shard;
        }).close());
        assertSame(error, thrown);
        assertEquals(1, opened.size());
        assertThrows(IllegalStateException.class, () -> opened.getFirst().view("a"));
    }
}
