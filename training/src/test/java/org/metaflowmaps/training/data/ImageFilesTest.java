package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class ImageFilesTest {
    @TempDir
    private Path folder = Path.of("");

    private void png(String name, int grey) throws IOException {
        BufferedImage image = new BufferedImage(2, 1, BufferedImage.TYPE_BYTE_GRAY);
        image.getRaster().setSample(1, 0, 0, grey);
        Path file = folder.resolve(name);
        Files.createDirectories(file.getParent());
        ImageIO.write(image, "png", file.toFile());
    }

    @Test
    void filesOfAllSubfoldersAreListedInOrder() throws IOException {
        for (String name : List.of("b.png", "a/z.PNG", "a.png", "a/inner/c.jpg", ".hidden/d.png", ".e.png", "f.txt")) {
            png(name, 7);
        }
        assertEquals(
                List.of("a.png", "a/inner/c.jpg", "a/z.PNG", "b.png"),
                ImageFiles.list(folder).stream()
                        .map(file -> folder.relativize(file).toString().replace('\\', '/'))
                        .toList());
        assertArrayEquals(
                new byte[] {0, 7, 0, 7, 0, 7},
                ImageFiles.read(folder.resolve("b.png")).bytes());
    }

    @Test
    void whatHasNoImagesIsRefused() throws IOException {
        assertTrue(String.valueOf(assertThrows(IOException.class, () -> ImageFiles.list(folder))
                        .getMessage())
                .contains(".png"));
        Path text = Files.writeString(folder.resolve("text.png"), "no image");
        assertThrows(IOException.class, () -> ImageFiles.list(text));
        assertThrows(DamagedItemException.class, () -> ImageFiles.read(text));
    }
}
