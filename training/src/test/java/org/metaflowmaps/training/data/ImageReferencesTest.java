package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;

/** The comparison that {@code mfm selfcheck} makes passes with Pillow's pixels, and fails with others. */
final class ImageReferencesTest {
    @TempDir
    private Path folder = Path.of("");

    private Path file = Path.of("");

    @BeforeEach
    void copy() throws IOException {
        file = folder.resolve("images.safetensors");
        resource("images.safetensors", file);
        Files.createDirectories(folder.resolve("images"));
        try (SafetensorsFile open = SafetensorsFile.open(file)) {
            for (String name : open.entries().keySet()) {
                resource(name, folder.resolve("images").resolve(name));
            }
        }
    }

    private static void resource(String name, Path to) throws IOException {
        try (InputStream in = ImageReferencesTest.class.getResourceAsStream("pixels/" + name)) {
            Files.write(to, Objects.requireNonNull(in, name).readAllBytes());
        }
    }

    private List<ImageReferences.Outcome> failed() throws IOException {
        return ImageReferences.run(file, name -> true).stream()
                .filter(outcome -> !outcome.passed())
                .toList();
    }

    @Test
    void everyFileIsCompared() throws IOException {
        assertTrue(ImageReferences.isFor(file));
        assertEquals(31, ImageReferences.run(file, name -> true).size());
        assertEquals(List.of(), failed());
        assertEquals(
                List.of("grey1.png"),
                ImageReferences.run(file, name -> name.startsWith("grey1.")).stream()
                        .map(ImageReferences.Outcome::name)
                        .toList());
    }

    @Test
    void otherPixelsAndMissingFilesFail() throws IOException {
        Files.copy(
                folder.resolve("images/grey1.png"),
                folder.resolve("images/gamma.png"),
                StandardCopyOption.REPLACE_EXISTING);
        Files.delete(folder.resolve("images/cmyk.jpg"));
        List<ImageReferences.Outcome> failed = failed();
        assertEquals(
                List.of("cmyk.jpg", "gamma.png"),
                failed.stream().map(ImageReferences.Outcome::name).sorted().toList());
        assertTrue(failed.stream().anyMatch(outcome -> outcome.worst().contains("cmyk.jpg")), failed::toString);
    }

    @Test
    void arraysOfAnotherShapeAreRefused() throws IOException {
        Path other = folder.resolve("other.safetensors");
        try (TensorScope scope = TensorScope.open()) {
            Safetensors.write(other, Map.of("generator", "imagefiles"), Map.of("grey1.png", Torch.zeros(2, 2, 3)));
            assertTrue(ImageReferences.isFor(other));
            Refusal.assertRefused(IOException.class, () -> ImageReferences.run(other, name -> true), "expected uint8");
            Safetensors.write(other, Map.of("generator", "vae"), Map.of("grey1.png", Torch.zeros(2, 2, 3)));
            assertFalse(ImageReferences.isFor(other));
        }
    }
}
