package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.Refusal;

final class IdxImagesTest {
    @TempDir
    private Path folder = Path.of("");

    @Test
    void imagesMayHaveAnySize() throws IOException {
        byte[] pixels = new byte[3 * 2 * 5];
        pixels[10] = (byte) 255;
        Files.write(folder.resolve("train-images-idx3-ubyte.gz"), IdxTest.gzip(IdxTest.idx(pixels, 3, 2, 5)));
        Files.write(folder.resolve("train-labels-idx1-ubyte"), IdxTest.idx(new byte[] {0, 3, 1}, 3));
        LabelledImages images = IdxImages.train(folder, 4);
        assertEquals(List.of("0", "1", "2", "3"), images.classNames());
        assertEquals(List.of(3, 1, 2, 5), List.of(images.count(), images.channels(), images.height(), images.width()));
        float[] second = new float[10];
        images.normalised(1, second, 0);
        assertArrayEquals(new float[] {1, -1, -1, -1, -1, -1, -1, -1, -1, -1}, second);
        assertEquals(3, images.label(1));
        Refusal.assertRefused(IdxException.class, () -> IdxImages.train(folder, 3), "label 3 of image 1", "0 to 2");
    }

    @Test
    void whatDoesNotBelongTogetherIsRefused() throws IOException {
        Refusal.assertRefused(
                FileNotFoundException.class,
                () -> IdxImages.train(folder, 3),
                folder + " holds neither train-images",
                "--data DIR");
        Files.write(folder.resolve("train-images-idx3-ubyte"), IdxTest.idx(new byte[8], 2, 2, 2));
        Refusal.assertRefused(FileNotFoundException.class, () -> IdxImages.train(folder, 3), "train-labels");
        Files.write(folder.resolve("train-labels-idx1-ubyte"), IdxTest.idx(new byte[3], 3));
        Refusal.assertRefused(IdxException.class, () -> IdxImages.train(folder, 3), "[2, 2, 2]", "[3]");
    }
}
