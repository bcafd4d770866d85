package org.metaflowmaps.cli.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.awt.image.BufferedImage;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ImageGridTest {
    private static final int MARGIN = 8;
    private static final int WHITE = 0xffffff;

    @ParameterizedTest
    @CsvSource({"1, 1", "1, 3", "3, 1", "3, 4"})
    void everyPixelBecomesABlockOfItsColour(int channels, int factor) {
        int height = 3;
        int width = 5;
        int plane = height * width;
        Random random = new Random(channels);
        float[] first = values(random, 2 * channels * plane);
        float[] second = values(random, channels * plane);
        BufferedImage grid = new ImageGrid(channels, height, width, List.of("", ""))
                .row("", first)
                .row("", second)
                .draw(factor);
        int gap = Math.max(2, factor);
        assertEquals(2 * MARGIN + 2 * width * factor + gap, grid.getWidth());
        assertEquals(2 * MARGIN + 2 * height * factor + gap, grid.getHeight());
        for (int y = 0; y < grid.getHeight(); y++) {
            for (int x = 0; x < grid.getWidth(); x++) {
                int column = Math.floorDiv(x - MARGIN, width * factor + gap);
                int row = Math.floorDiv(y - MARGIN, height * factor + gap);
                int px = Math.floorMod(x - MARGIN, width * factor + gap) / factor;
                int py = Math.floorMod(y - MARGIN, height * factor + gap) / factor;
                int expected = WHITE;
                boolean inside = row >= 0 && row < 2 && px < width && py < height && column >= 0 && column < 2 - row;
                if (inside) {
                    float[] source = row == 0 ? first : second;
                    int at = column * channels * plane + py * width + px;
                    int step = channels == 1 ? 0 : plane;
                    expected =
                            byteOf(source[at]) << 16 | byteOf(source[at + step]) << 8 | byteOf(source[at + 2 * step]);
                }
                assertEquals(expected, grid.getRGB(x, y) & WHITE, x + ", " + y);
            }
        }
    }

    @Test
    void endsOfTheRangeAreBlackAndWhiteAndNanIsSeen() {
        float[] values = {-1, 1, -7, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY, Float.NaN};
        BufferedImage grid = new ImageGrid(1, 1, 6, List.of("")).row("", values).draw(1);
        int[] expected = {0, WHITE, 0, WHITE, 0, 0xff00ff};
        for (int i = 0; i < expected.length; i++) {
            assertEquals(expected[i], grid.getRGB(MARGIN + i, MARGIN) & WHITE);
        }
    }

    @Test
    void labelsTakeRoomAndLeaveInkOutsideTheImages() {
        assumeTrue(Text.available(), "this machine has no font");
        float[] black = new float[4 * 4];
        Arrays.fill(black, -1);
        BufferedImage bare = new ImageGrid(1, 4, 4, List.of("")).row("", black).draw(8);
        BufferedImage labelled =
                new ImageGrid(1, 4, 4, List.of("Bag")).row("one step", black).draw(8);
        int left = labelled.getWidth() - bare.getWidth();
        int top = labelled.getHeight() - bare.getHeight();
        assertTrue(left > 20 && top > 10, left + ", " + top);
        assertTrue(inked(labelled, 0, top, left, labelled.getHeight()), "the row's label");
        assertTrue(inked(labelled, left, 0, labelled.getWidth(), top), "the column's label");
        assertEquals(0, labelled.getRGB(left + MARGIN, top + MARGIN) & WHITE);
    }

    @Test
    void longLabelsAreCutWithinBounds() {
        assumeTrue(Text.available(), "this machine has no font");
        String text = "a label that is far too long 😀 ".repeat(40);
        String cut = Text.shortened(text, Text.font(12), 100);
        assertTrue(cut.endsWith("…") && Text.width(List.of(cut), Text.font(12)) <= 100, cut);
        assertTrue(text.startsWith(cut.substring(0, cut.length() - 1)), cut);
        assertEquals("short", Text.shortened("short", Text.font(12), 100));
        BufferedImage grid =
                new ImageGrid(1, 2, 2, List.of(text)).row(text, new float[4]).draw(2);
        assertTrue(grid.getWidth() < 300, "width " + grid.getWidth());
    }

    @Test
    void badInputIsRefused() {
        Class<IllegalArgumentException> refused = IllegalArgumentException.class;
        assertThrows(refused, () -> new ImageGrid(2, 4, 4, List.of("")));
        assertThrows(refused, () -> new ImageGrid(1, 0, 4, List.of("")));
        assertThrows(refused, () -> new ImageGrid(1, 4, 4, List.of()));
        ImageGrid grid = new ImageGrid(1, 2, 2, List.of("", ""));
        assertThrows(refused, () -> grid.draw(1));
        assertThrows(refused, () -> grid.row("", new float[0]));
        assertThrows(refused, () -> grid.row("", new float[5]));
        assertThrows(refused, () -> grid.row("", new float[12]));
        assertThrows(refused, () -> grid.row("", new float[8]).draw(0));
    }

    private static boolean inked(BufferedImage image, int left, int top, int right, int bottom) {
        for (int y = top; y < bottom; y++) {
            for (int x = left; x < right; x++) {
                int grey = image.getRGB(x, y) & 0xff;
                // Darker than paper, lighter than the black image.
                if (grey > 0x30 && grey < 0xc0) {
                    return true;
                }
            }
        }
        return false;
    }

    private static float[] values(Random random, int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = random.nextFloat(-1, 1);
        }
        return values;
    }

    private static int byteOf(float value) {
        return (int) Math.floor((value + 1.0) / 2 * 255 + 0.5);
    }
}
