package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.metaflowmaps.runtime.Refusal;

final class JpegColoursTest {
    private static final int[] NUMBERED = {1, 2, 3};
    private static final int[] NAMED = {'R', 'G', 'B'};

    private static JpegColours with(boolean jfif, int transform) {
        JpegColours colours = new JpegColours();
        if (jfif) {
            colours.segment(0xe0, Arrays.copyOf("JFIF\0".getBytes(StandardCharsets.US_ASCII), 14));
        }
        if (transform >= 0) {
            byte[] adobe = Arrays.copyOf("Adobe".getBytes(StandardCharsets.US_ASCII), 12);
            adobe[11] = (byte) transform;
            colours.segment(0xee, adobe);
        }
        return colours;
    }

    /** The rules of libjpeg for three components with numbers and with letters as ids, and for four. */
    @ParameterizedTest
    @CsvSource({
        "false, -1, YCBCR, RGB, CMYK",
        "true, -1, YCBCR, YCBCR, CMYK",
        "false, 0, RGB, RGB, CMYK",
        "true, 0, YCBCR, YCBCR, CMYK",
        "false, 1, YCBCR, YCBCR, YCCK",
        "false, 2, YCBCR, YCBCR, YCCK"
    })
    void segmentsDecide(
            boolean jfif, int transform, JpegColours.Kind three, JpegColours.Kind named, JpegColours.Kind four)
            throws IOException {
        JpegColours colours = with(jfif, transform);
        assertEquals(JpegColours.Kind.GREY, colours.of(new int[] {7}));
        assertEquals(three, colours.of(NUMBERED));
        assertEquals(named, colours.of(NAMED));
        assertEquals(four, colours.of(new int[] {1, 2, 3, 4}));
    }

    @Test
    void shortSegmentsAndTwoComponentsAreNoImages() throws IOException {
        JpegColours colours = new JpegColours();
        colours.segment(0xe0, new byte[0]);
        colours.segment(0xee, "Adobe".getBytes(StandardCharsets.US_ASCII));
        assertEquals(JpegColours.Kind.RGB, colours.of(NAMED));
        Refusal.assertRefused(IOException.class, () -> colours.of(new int[] {1, 2}), "2 components");
    }
}
