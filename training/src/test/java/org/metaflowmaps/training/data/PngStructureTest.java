package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.zip.CRC32;
import java.util.zip.DeflaterOutputStream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.Refusal;

final class PngStructureTest {
    private static final byte[] SIGNATURE = {(byte) 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

    /** The offset of the first chunk after the header. */
    private static final int BEHIND_HEADER = 33;

    @TempDir
    private Path folder = Path.of("");

    private byte[] decoded(byte[] bytes) throws IOException {
        return ImageFile.read(Files.write(folder.resolve("image.png"), bytes), 3)
                .bytes();
    }

    private static byte[] joined(byte[]... parts) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            all.writeBytes(part);
        }
        return all.toByteArray();
    }

    private static byte[] chunk(String name, byte[] body) {
        byte[] named = joined(name.getBytes(StandardCharsets.ISO_8859_1), body);
        CRC32 sum = new CRC32();
        sum.update(named);
        return ByteBuffer.allocate(8 + named.length)
                .putInt(body.length)
                .put(named)
                .putInt((int) sum.getValue())
                .array();
    }

    private static byte[] header(int width, int height, int depth, int colourType, int interlaced) {
        return chunk(
                "IHDR",
                ByteBuffer.allocate(13)
                        .putInt(width)
                        .putInt(height)
                        .put((byte) depth)
                        .put((byte) colourType)
                        .put((byte) 0)
                        .put((byte) 0)
                        .put((byte) interlaced)
                        .array());
    }

    private static byte[] packed(byte[] rows) throws IOException {
        ByteArrayOutputStream packed = new ByteArrayOutputStream();
        try (DeflaterOutputStream out = new DeflaterOutputStream(packed)) {
            out.write(rows);
        }
        return packed.toByteArray();
    }

    private static byte[] image(byte[] header, byte[] rows) throws IOException {
        return joined(SIGNATURE, header, chunk("IDAT", packed(rows)), chunk("IEND", new byte[0]));
    }

    private static byte[] noise() throws IOException {
        BufferedImage image = new BufferedImage(19, 13, BufferedImage.TYPE_INT_RGB);
        Random random = new Random(7);
        for (int i = 0; i < 19 * 13; i++) {
            image.setRGB(i % 19, i / 19, random.nextInt());
        }
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ImageIO.write(image, "png", out);
        return out.toByteArray();
    }

    private static byte[] with(byte[] image, byte[] chunk) {
        return joined(
                Arrays.copyOf(image, BEHIND_HEADER), chunk, Arrays.copyOfRange(image, BEHIND_HEADER, image.length));
    }

    private void refused(byte[] image, String... parts) {
        Refusal.assertRefused(DamagedItemException.class, () -> decoded(image), parts);
    }

    @Test
    void everyCutIsRefused() throws IOException {
        byte[] whole = noise();
        for (int length = 8; length < whole.length; length++) {
            byte[] cut = Arrays.copyOf(whole, length);
            Refusal.assertRefused(IOException.class, () -> PngStructure.checked(cut, 1 << 20), "ends early");
        }
        assertArrayEquals(decoded(whole), decoded(joined(whole, new byte[100])));
    }

    @Test
    void everyChangedBitIsRefused() throws IOException {
        byte[] whole = noise();
        for (int at = 8; at < whole.length; at++) {
            byte[] changed = whole.clone();
            changed[at] ^= (byte) (1 << at % 8);
            assertThrows(IOException.class, () -> PngStructure.checked(changed, 1 << 20), "at " + at);
        }
        byte[] changed = whole.clone();
        changed[BEHIND_HEADER + 40] ^= 1;
        refused(changed, "image.png", "the checksum of chunk IDAT differs");
    }

    @Test
    void compressedRowsAreAllThere() throws IOException {
        byte[] rows = new byte[10 * 11];
        assertArrayEquals(new byte[300], decoded(image(header(10, 10, 8, 0, 0), rows)));
        refused(image(header(10, 10, 8, 0, 0), Arrays.copyOf(rows, 109)), "its data ends early");
        refused(
                joined(
                        SIGNATURE,
                        header(10, 10, 8, 0, 0),
                        chunk("IDAT", Arrays.copyOf(packed(rows), 9)),
                        chunk("IEND", new byte[0])),
                "its data ends early");
        refused(joined(SIGNATURE, header(10, 10, 8, 0, 0), chunk("IEND", new byte[0])), "its data ends early");
        refused(
                joined(
                        SIGNATURE,
                        header(10, 10, 8, 0, 0),
                        chunk("IDAT", new byte[] {1, 2, 3, 4}),
                        chunk("IEND", new byte[0])),
                "cannot be unpacked");
        rows[33] = 5;
        refused(image(header(10, 10, 8, 0, 0), rows), "a row has filter 5");
    }

    /** Width 3 has no pixel in the second pass and one per row in the fourth. */
    @Test
    void interlacedRowsAreCounted() throws IOException {
        int[] rowsOfPasses = {1, 0, 0, 1, 1, 2, 2};
        int[] widths = {1, 0, 1, 1, 2, 1, 3};
        int length = 0;
        for (int i = 0; i < 7; i++) {
            length += rowsOfPasses[i] * (1 + widths[i]);
        }
        assertArrayEquals(new byte[3 * 3 * 4], decoded(image(header(3, 4, 8, 0, 1), new byte[length])));
        refused(image(header(3, 4, 8, 0, 1), new byte[length - 1]), "its data ends early");
    }

    @Test
    void tinyFilesThatClaimMuchAreRefused() throws IOException {
        refused(image(header(60_000, 60_000, 1, 0, 0), new byte[10]), "image.png", "3600000000 pixels");
        refused(image(header(8000, 8000, 16, 6, 0), new byte[10]), "image.png", "its data ends early");
        refused(image(header(Integer.MIN_VALUE, 1, 8, 0, 0), new byte[2]), "its header is not a PNG's");
        refused(image(header(5, 5, 3, 0, 0), new byte[2]), "its header is not a PNG's");
    }

    /** A text of a gigabyte, and a frame of an animation: both are skipped. */
    @Test
    void otherChunksStayPacked() throws IOException {
        byte[] whole = noise();
        byte[] pixels = decoded(whole);
        byte[] bomb = packed(new byte[1 << 24]);
        for (String name : new String[] {"zTXt", "iTXt", "iCCP"}) {
            byte[] key = (name.equals("iTXt") ? "k\0\1\0\0\0" : "k\0\0").getBytes(StandardCharsets.ISO_8859_1);
            byte[] bloated = with(whole, chunk(name, joined(key, bomb)));
            assertArrayEquals(pixels, decoded(bloated), name);
            assertArrayEquals(whole, PngStructure.checked(bloated, 1 << 20), name);
        }
        byte[] animated = with(with(whole, chunk("fdAT", new byte[] {0, 0, 0, 1, 9})), chunk("acTL", new byte[8]));
        assertArrayEquals(pixels, decoded(animated));
        byte[] gamma = with(whole, chunk("gAMA", new byte[] {0, 0, 0, 1}));
        assertArrayEquals(pixels, decoded(gamma));
    }

    @Test
    void chunksOutOfPlaceAreRefused() throws IOException {
        byte[] whole = noise();
        byte[] data = chunk("IDAT", packed(new byte[10 * 11]));
        refused(
                joined(
                        SIGNATURE,
                        header(10, 10, 8, 0, 0),
                        data,
                        chunk("tEXt", new byte[3]),
                        data,
                        chunk("IEND", new byte[0])),
                "two places");
        refused(joined(SIGNATURE, header(10, 10, 8, 3, 0), data, chunk("IEND", new byte[0])), "its palette is missing");
        refused(
                joined(SIGNATURE, chunk("CgBI", new byte[4]), Arrays.copyOfRange(whole, 8, whole.length)),
                "Apple's format");
        refused(with(whole, chunk("ABCD", new byte[4])), "it needs chunk ABCD");
        assertTrue(decoded(with(whole, chunk("abCD", new byte[4]))).length > 0);
    }
}
