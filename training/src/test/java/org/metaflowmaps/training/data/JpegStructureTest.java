package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.runtime.Refusal;

/** The files in {@code jpegs} contain the same picture of 45 x 37 pixels, written by libjpeg-turbo 3. */
final class JpegStructureTest {
    private static final long MOST = 1 << 26;

    @TempDir
    private Path folder = Path.of("");

    private static byte[] picture(String name) throws IOException {
        try (InputStream in = JpegStructureTest.class.getResourceAsStream("jpegs/" + name + ".jpg")) {
            return Objects.requireNonNull(in, name).readAllBytes();
        }
    }

    private byte[] decoded(byte[] bytes) throws IOException {
        return ImageFile.read(Files.write(folder.resolve("image.jpg"), bytes), 3)
                .bytes();
    }

    private static byte[] joined(byte[]... parts) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            all.writeBytes(part);
        }
        return all.toByteArray();
    }

    /** A marker with its segment. */
    private static byte[] segment(int marker, int... body) {
        byte[] bytes = new byte[4 + body.length];
        bytes[0] = (byte) 0xff;
        bytes[1] = (byte) marker;
        bytes[2] = (byte) ((body.length + 2) >> 8);
        bytes[3] = (byte) (body.length + 2);
        for (int i = 0; i < body.length; i++) {
            bytes[4 + i] = (byte) body[i];
        }
        return bytes;
    }

    /** Every cut is rejected, also with an end marker added, unless only padding was lost. */
    @ParameterizedTest
    @ValueSource(strings = {"baseline", "restart", "progressive", "grey-progressive", "cmyk", "cmyk-progressive"})
    void whatEndsEarlyIsRefused(String name) throws IOException {
        byte[] whole = picture(name);
        byte[] pixels = decoded(whole);
        assertEquals(3 * 45 * 37, pixels.length);
        for (int length = 0; length < whole.length; length++) {
            byte[] cut = Arrays.copyOf(whole, length);
            if (length >= 3) {
                assertThrows(IOException.class, () -> JpegStructure.checked(cut, MOST), name + " cut to " + length);
            }
            if (length % 5 == 0) {
                byte[] ended = joined(cut, new byte[] {(byte) 0xff, (byte) 0xd9});
                try {
                    assertArrayEquals(pixels, decoded(ended), name + " cut to " + length);
                } catch (DamagedItemException e) {
                    assertTrue(String.valueOf(e.getMessage()).contains("image.jpg cannot be read"), e::toString);
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"progressive", "grey-progressive", "cmyk-progressive"})
    void scansThatAreMissingAtTheEndAreNoticed(String name) throws IOException {
        byte[] whole = picture(name);
        int cuts = 0;
        for (int at = 2; at < whole.length - 1; at++) {
            boolean table = whole[at] == (byte) 0xff && whole[at + 1] == (byte) 0xc4;
            if (table && cuts++ > 0) {
                byte[] ended = joined(Arrays.copyOf(whole, at), new byte[] {(byte) 0xff, (byte) 0xd9});
                Refusal.assertRefused(
                        DamagedItemException.class, () -> decoded(ended), "image.jpg", "its data ends early");
            }
        }
        assertTrue(cuts > 3, name);
    }

    @Test
    void whatFollowsTheImageDoesNotMatter() throws IOException {
        byte[] whole = picture("progressive");
        assertArrayEquals(decoded(whole), decoded(joined(whole, new byte[] {1, 2, 3, (byte) 0xff, (byte) 0xd8, 0})));
    }

    /** Grey, progressive: each block of the first scan takes one bit; each other scan has only empty blocks. */
    private static byte[] empty(int width, int height, int scans, boolean bits) {
        int blocks = (width / 8) * (height / 8);
        byte[] table = joined(
                segment(0xdb, filled(65, 1, 0)),
                segment(0xc2, 8, height >> 8, height & 255, width >> 8, width & 255, 1, 1, 0x11, 0),
                segment(0xc4, filled(18, 0, 0, 1)),
                segment(0xc4, filled(18, 0, 0x10, 1)));
        // The last byte of the second table is for runs of 16384 blocks and more.
        table[table.length - 1] = (byte) 0xe0;
        byte[] first = joined(segment(0xda, 1, 1, 0, 0, 0, 0), new byte[bits ? (blocks + 7) / 8 : 0]);
        byte[] all = joined(new byte[] {(byte) 0xff, (byte) 0xd8}, table, first);
        byte[] run = {0x7f, (byte) 0xff, 0};
        byte[] data = new byte[0];
        for (int i = 0; bits && i < (blocks + 32766) / 32767; i++) {
            data = joined(data, run);
        }
        byte[] next = joined(segment(0xda, 1, 1, 0, 1, 63, 0), data);
        for (int i = 1; i < scans; i++) {
            all = joined(all, next);
        }
        return joined(all, new byte[] {(byte) 0xff, (byte) 0xd9});
    }

    private static int[] filled(int length, int value, int... first) {
        int[] values = new int[length];
        Arrays.fill(values, value);
        System.arraycopy(first, 0, values, 0, first.length);
        return values;
    }

    @Test
    void scansWithoutDataEndEarly() {
        byte[] image = empty(8192, 8192, 61, false);
        assertTrue(image.length < 1000);
        Refusal.assertRefused(DamagedItemException.class, () -> decoded(image), "image.jpg", "its data ends early");
    }

    @Test
    void theNumberOfScansIsBoundedBySize() throws IOException {
        byte[] pixels = decoded(empty(64, 64, 100, true));
        assertEquals(3 * 64 * 64, pixels.length);
        for (byte pixel : pixels) {
            assertEquals((byte) 128, pixel);
        }
        Refusal.assertRefused(
                DamagedItemException.class,
                () -> decoded(empty(64, 64, 101, true)),
                "image.jpg",
                "more than 100 scans",
                "64 x 64");
        assertEquals(80, 5 * (1 << 24) / (1024 * 1024));
        byte[] most = empty(8192, 8192, 80, true);
        JpegStructure.checked(most, MOST);
        Refusal.assertRefused(
                IOException.class,
                () -> JpegStructure.checked(empty(8192, 8192, 81, true), MOST),
                "more than 80 scans");
    }

    /** Changes the frame's marker and its precision in a complete file. */
    @ParameterizedTest
    @CsvSource({
        "192, 12, 12 bits",
        "195, 8, lossless",
        "197, 8, hierarchical",
        "201, 8, arithmetic",
        "202, 8, arithmetic",
        "203, 8, arithmetic"
    })
    void otherProcessesAreNamed(int marker, int precision, String expected) throws IOException {
        byte[] image = picture("baseline");
        int frame = 2;
        while (image[frame + 1] != (byte) 0xc0) {
            frame += 2 + ((image[frame + 2] & 0xff) << 8 | (image[frame + 3] & 0xff));
        }
        image[frame + 1] = (byte) marker;
        image[frame + 4] = (byte) precision;
        Refusal.assertRefused(DamagedItemException.class, () -> decoded(image), "image.jpg", "it is a JPEG", expected);
    }

    @Test
    void claimsOfTooManyPixelsAreRefused() {
        Refusal.assertRefused(
                DamagedItemException.class,
                () -> decoded(empty(65528, 65528, 1, false)),
                "image.jpg",
                "4293918784 pixels");
    }
}
