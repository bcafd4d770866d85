package org.metaflowmaps.cli.report;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.awt.image.BufferedImage;
import java.util.Arrays;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LossChartTest {
    private static final int FIRST_COLOUR = 0x1f6feb;
    private static final double NAN = Double.NaN;

    @Test
    void smoothingKeepsConstantsAndStaysWithinBounds() {
        double[] constant = new double[100];
        Arrays.fill(constant, 0.3);
        assertArrayEquals(constant, LossChart.smoothed(constant), 1e-12);
        double[] noise = new Random(2).doubles(1000).toArray();
        double[] smooth = LossChart.smoothed(noise);
        double lowest = noise[0];
        double highest = noise[0];
        for (int i = 0; i < noise.length; i++) {
            lowest = Math.min(lowest, noise[i]);
            highest = Math.max(highest, noise[i]);
            assertTrue(smooth[i] >= lowest - 1e-12 && smooth[i] <= highest + 1e-12);
        }
        // The average of n uniform draws has a variance of 1/(12 n); here n is about 2 * 33.
        double spread = Arrays.stream(smooth, 500, 1000)
                .map(v -> (v - 0.5) * (v - 0.5))
                .average()
                .orElseThrow();
        assertTrue(spread < 1.0 / 12 / 20, "variance " + spread);
    }

    @Test
    void shortCurvesAreNotSmoothed() {
        double[] values = {3, 1, 2};
        assertArrayEquals(values, LossChart.smoothed(values), 1e-12);
    }

    @Test
    void aFallingLossIsALineFromTopLeftToBottomRight() {
        assumeTrue(Text.available(), "this machine has no font");
        long[] steps = LongStream.range(0, 100).map(i -> i * 10).toArray();
        // Exponential decay is straight on the logarithmic axis, which is used for positive values.
        double[] values =
                Arrays.stream(steps).mapToDouble(s -> Math.exp(-s / 100.0)).toArray();
        BufferedImage image = new LossChart("").curve("loss", steps, values).draw(400, 200);
        assertEquals(800, image.getWidth());
        assertEquals(400, image.getHeight());
        double left = rowOf(image, 0.25);
        double middle = rowOf(image, 0.5);
        double right = rowOf(image, 0.75);
        assertTrue(left < middle && middle < right, left + ", " + middle + ", " + right);
        assertEquals((left + right) / 2, middle, 4);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "0.3",
                "0,0",
                "0.3,0.3,0.3",
                "-1,NaN,2",
                "NaN,NaN,5",
                "1e-300,1,1e300",
                "Infinity,1,-Infinity",
                "-3,-2",
                "4.9e-324,1",
                "1e-5,2e-5,9e-5"
            })
    void oddValuesAreDrawn(String text) {
        assumeTrue(Text.available(), "this machine has no font");
        double[] values = Arrays.stream(text.split(",", -1))
                .mapToDouble(Double::parseDouble)
                .toArray();
        long[] steps = LongStream.range(0, values.length).map(i -> 1000 * i + 1).toArray();
        LossChart chart = new LossChart("odd").curve("a", steps, values).curve("none", new long[0], new double[0]);
        BufferedImage image = chart.draw(300, 200);
        assertTrue(count(image, FIRST_COLOUR) > 10, "the curve is to be seen");
    }

    @Test
    void nothingToDrawIsKnownAndRefused() {
        LossChart chart =
                new LossChart("empty").curve("a", new long[] {1, 2}, new double[] {NAN, Double.NEGATIVE_INFINITY});
        assertTrue(chart.isEmpty());
        assertThrows(IllegalStateException.class, () -> chart.draw(100, 100));
        assertFalse(chart.curve("b", new long[] {1}, new double[] {1}).isEmpty());
    }

    @Test
    void badInputIsRefused() {
        LossChart chart = new LossChart("").curve("a", new long[1], new double[1]);
        assertThrows(IllegalArgumentException.class, () -> chart.curve("a", new long[1], new double[1]));
        assertThrows(IllegalArgumentException.class, () -> chart.curve("b", new long[2], new double[1]));
        assertThrows(IllegalArgumentException.class, () -> chart.curve(" ", new long[1], new double[1]));
    }

    /** Finds the row at which the first curve crosses a column of pixels. */
    private static double rowOf(BufferedImage image, double place) {
        int x = (int) (image.getWidth() * place);
        return IntStream.range(0, image.getHeight())
                .filter(y -> (image.getRGB(x, y) & 0xffffff) == FIRST_COLOUR)
                .average()
                .orElseThrow();
    }

    private static int count(BufferedImage image, int colour) {
        int count = 0;
        for (int pixel : image.getRGB(0, 0, image.getWidth(), image.getHeight(), null, 0, image.getWidth())) {
            count += (pixel & 0xffffff) == colour ? 1 : 0;
        }
        return count;
    }
}
