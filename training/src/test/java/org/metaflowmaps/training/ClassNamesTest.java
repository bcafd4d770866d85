package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.training.data.FashionMnist;

/** Class names in checkpoints. */
final class ClassNamesTest {
    @TempDir
    private Path folder = Path.of("");

    private List<String> names(Map<String, String> metadata) throws IOException {
        Path file = folder.resolve("x.safetensors");
        try (TensorScope scope = TensorScope.open()) {
            Safetensors.write(file, metadata, Map.of("x", Torch.of(new long[] {1})));
        }
        return Checkpoint.classNames(file);
    }

    @Test
    void namesComeFromTheDataNotFromTheirNumber() throws IOException {
        assertEquals(List.of("a", "ü, b"), names(Map.of("class_names", "[\"a\",\"ü, b\"]")));
        assertEquals(
                List.of(),
                names(Map.of("run", "{\"data\":{\"kind\":\"idx\",\"classes\":10}}")),
                "MNIST has no names of clothes");
        assertEquals(List.of(), names(Map.of("run", "{}")));
        assertEquals(List.of(), names(Map.of()));
    }

    @Test
    void olderRunsOnFashionMnistKeepTheirNames() throws IOException {
        assertEquals(FashionMnist.CLASSES, names(Map.of("run", "{\"data\":{\"kind\":\"fashion-mnist\"}}")));
    }

    @Test
    void namesThatAreNoListAreRefused() {
        Refusal.assertRefused(
                IOException.class, () -> names(Map.of("class_names", "[\"a\"")), "x.safetensors", "'class_names'");
        Refusal.assertRefused(
                IOException.class, () -> names(Map.of("class_names", "[1]")), "x.safetensors", "'class_names'");
        Refusal.assertRefused(
                IOException.class, () -> names(Map.of("class_names", "7")), "x.safetensors", "'class_names'");
    }

    @Test
    void imageFilesTrainedBeforeHoldOutExistedGoOn() {
        // Versions before data.flip wrote hold_out 500 and ignored it.
        String before = "{\"data\":{\"kind\":\"images\",\"hold_out\":500}}";
        assertEquals("data.kind is \"mixture\", was \"images\"", RunSettings.difference(before, new Runs().config()));
        assertNull(RunSettings.difference("{\"data\":{\"hold_out\":0}}", new Runs().config()));
    }
}
