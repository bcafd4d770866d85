package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

class LabelledImagesTest {
    private static final List<String> NAMES = List.of("light", "dark", "absent");

    /** Three images of two channels, one row, two columns. */
    private final LabelledImages images = new LabelledImages(
            new byte[] {0, (byte) 255, 51, 102, (byte) 153, (byte) 204, 1, (byte) 254, 2, 4, 6, 8},
            2,
            1,
            2,
            new byte[] {0, 1, 0},
            NAMES);

    @Test
    void bytesBecomeMinusOneToOne() {
        float[] out = {9, 9, 9, 9, 9, 9};
        images.normalised(0, out, 1);
        assertArrayEquals(new float[] {9, -1, 1, -0.6f, -0.2f, 9}, out, 1e-6f);
        assertEquals(-1f, out[1]);
        assertEquals(1f, out[2]);
    }

    @Test
    void segmentAndArrayAgree() {
        MemorySegment segment = MemorySegment.ofArray(new byte[3 * 16 + 1]).asSlice(1);
        for (int i = 0; i < images.count(); i++) {
            images.normalised(i, segment, 4L * i);
            float[] array = new float[4];
            images.normalised(i, array, 0);
            for (int k = 0; k < 4; k++) {
                assertEquals(array[k], segment.getAtIndex(ValueLayout.JAVA_FLOAT_UNALIGNED, 4L * i + k));
            }
        }
    }

    @Test
    void classMeanIsTheMeanOfNormalisedImages() {
        float[] first = new float[4];
        float[] third = new float[4];
        images.normalised(0, first, 0);
        images.normalised(2, third, 0);
        float[] mean = images.classMean(0, 0, 3);
        for (int i = 0; i < mean.length; i++) {
            assertEquals((first[i] + third[i]) / 2, mean[i], 1e-6f);
        }
        assertArrayEquals(third, images.classMean(0, 1, 3), 1e-6f);
    }

    @Test
    void classMeanNeedsAnImage() {
        assertMessage(
                "no image from 0 to 3 has label 2 (absent)",
                IllegalArgumentException.class,
                () -> images.classMean(2, 0, 3));
        assertThrows(IndexOutOfBoundsException.class, () -> images.classMean(3, 0, 3));
        assertThrows(IndexOutOfBoundsException.class, () -> images.classMean(0, 0, 4));
    }

    @Test
    void placesOutsideAreRefused() {
        MemorySegment segment = MemorySegment.ofArray(new float[5]);
        assertThrows(IndexOutOfBoundsException.class, () -> images.normalised(3, new float[4], 0));
        assertThrows(IndexOutOfBoundsException.class, () -> images.normalised(-1, new float[4], 0));
        assertThrows(IndexOutOfBoundsException.class, () -> images.normalised(0, new float[5], 2));
        assertThrows(IndexOutOfBoundsException.class, () -> images.normalised(3, segment, 0));
        assertThrows(IndexOutOfBoundsException.class, () -> images.normalised(0, segment, 2));
        assertThrows(IndexOutOfBoundsException.class, () -> images.label(3));
    }

    @Test
    void pixelsCannotBeChangedThroughTheView() {
        assertThrows(IllegalArgumentException.class, () -> images.pixels().set(ValueLayout.JAVA_BYTE, 0, (byte) 3));
        assertEquals(12, images.pixels().byteSize());
    }

    @Test
    void disagreementsAreRefused() {
        Class<IllegalArgumentException> refused = IllegalArgumentException.class;
        assertMessage(
                "label 3 of image 1",
                refused,
                () -> new LabelledImages(new byte[2], 1, 1, 1, new byte[] {0, 3}, NAMES));
        assertMessage(
                "label 255 of image 0",
                refused,
                () -> new LabelledImages(new byte[1], 1, 1, 1, new byte[] {-1}, NAMES));
        assertMessage("got 7 bytes", refused, () -> new LabelledImages(new byte[7], 1, 2, 2, new byte[2], NAMES));
        assertMessage("0 labels", refused, () -> new LabelledImages(new byte[0], 1, 2, 2, new byte[0], NAMES));
        assertMessage("0 channels", refused, () -> new LabelledImages(new byte[0], 0, 2, 2, new byte[2], NAMES));
        assertMessage("0 class names", refused, () -> new LabelledImages(new byte[1], 1, 1, 1, new byte[1], List.of()));
    }

    private static <T extends Throwable> void assertMessage(String expected, Class<T> type, Executable action) {
        String message = String.valueOf(assertThrows(type, action).getMessage());
        assertTrue(message.contains(expected), message);
    }
}
