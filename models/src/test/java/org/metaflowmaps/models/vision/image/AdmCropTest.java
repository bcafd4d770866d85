package org.metaflowmaps.models.vision.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class AdmCropTest {
    private static byte[] bytes(int... levels) {
        byte[] bytes = new byte[levels.length];
        for (int i = 0; i < levels.length; i++) {
            bytes[i] = (byte) levels[i];
        }
        return bytes;
    }

    private static byte[] cropped(int width, int height, int size, int... levels) {
        return ByteImage.of(new byte[][] {bytes(levels)}, height, width)
                .admCrop(size)
                .bytes();
    }

    /**
     * Means of pairs along rows, then of pairs of those along columns, each rounded to the nearest level, halves up.
     */
    @Test
    void halvingAverages() {
        assertArrayEquals(
                bytes(10, 101, 1, 255),
                cropped(4, 4, 2, 0, 20, 100, 101, 10, 10, 101, 100, 0, 1, 255, 255, 0, 1, 255, 255));
    }

    @Test
    void aQuarterIsTwoHalvings() {
        int[] levels = new int[16 * 16];
        for (int y = 0; y < 16; y++) {
            for (int x = 0; x < 16; x++) {
                // Blocks of 4 x 4 with one level each, plus a pattern that averages to zero.
                levels[y * 16 + x] = 10 + 16 * (y / 4 * 4 + x / 4) + (x % 2 == 0 ? 3 : -3);
            }
        }
        int[] means = new int[16];
        Arrays.setAll(means, i -> 10 + 16 * i);
        assertArrayEquals(bytes(means), cropped(16, 16, 4, levels));
    }

    @Test
    void theMiddleIsCutOut() {
        assertArrayEquals(bytes(2, 3, 12, 13), cropped(6, 2, 2, 0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15));
        assertArrayEquals(bytes(1, 2, 11, 12), cropped(5, 2, 2, 0, 1, 2, 3, 4, 10, 11, 12, 13, 14));
        assertArrayEquals(bytes(1, 11, 2, 12), cropped(2, 5, 2, 0, 10, 1, 11, 2, 12, 3, 13, 4, 14));
        assertArrayEquals(bytes(5), cropped(3, 3, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9));
    }

    @ParameterizedTest
    @CsvSource({"1,1,7", "7,5,7", "40,31,8", "3,900,5", "33,64,32"})
    void oneColourStaysThat(int width, int height, int size) {
        byte[][] planes = new byte[3][width * height];
        for (int i = 0; i < 3; i++) {
            Arrays.fill(planes[i], (byte) (100 * i));
        }
        byte[] result = ByteImage.of(planes, height, width).admCrop(size).bytes();
        byte[] expected = new byte[3 * size * size];
        for (int i = 0; i < expected.length; i++) {
            expected[i] = (byte) (100 * (i / (size * size)));
        }
        assertArrayEquals(expected, result);
    }

    /** The cubic overshoots: levels beside an edge are clamped and do not wrap around. */
    @Test
    void edgesDoNotWrapAround() {
        byte[] result = cropped(4, 4, 7, 0, 0, 255, 255, 0, 0, 255, 255, 0, 0, 255, 255, 0, 0, 255, 255);
        for (int y = 0; y < 7; y++) {
            for (int x = 1; x < 7; x++) {
                assertTrue((result[y * 7 + x] & 0xff) >= (result[y * 7 + x - 1] & 0xff), Arrays.toString(result));
            }
            assertEquals(0, result[y * 7]);
            assertEquals((byte) 255, result[y * 7 + 6]);
        }
    }
}
