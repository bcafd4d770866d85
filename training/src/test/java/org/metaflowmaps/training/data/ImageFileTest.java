package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.awt.image.IndexColorModel;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.Random;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.metaflowmaps.runtime.Refusal;

final class ImageFileTest {
    @TempDir
    private Path folder = Path.of("");

    /** Returns the levels of all pixels of one row, channel by channel. */
    private int[] levels(BufferedImage image, String format, int channels) throws IOException {
        Path file = folder.resolve("image." + format);
        assertTrue(ImageIO.write(image, format, file.toFile()));
        byte[] bytes = ImageFile.read(file, channels).bytes();
        int[] levels = new int[bytes.length];
        Arrays.setAll(levels, i -> bytes[i] & 0xff);
        return levels;
    }

    /** Pixels of one row; alpha, red, green, blue. */
    private static BufferedImage row(int type, int... argb) {
        BufferedImage image = new BufferedImage(argb.length, 1, type);
        image.setRGB(0, 0, argb.length, 1, argb, 0, argb.length);
        return image;
    }

    private static BufferedImage raw(int type, int... samples) {
        BufferedImage image = new BufferedImage(samples.length, 1, type);
        image.getRaster().setSamples(0, 0, samples.length, 1, 0, samples);
        return image;
    }

    @Test
    void greyLevelsStayAsTheyAre() throws IOException {
        int[] all = new int[256];
        Arrays.setAll(all, i -> i);
        BufferedImage grey = raw(BufferedImage.TYPE_BYTE_GRAY, all);
        assertArrayEquals(all, levels(grey, "png", 1));
        int[] colours = levels(grey, "png", 3);
        for (int channel = 0; channel < 3; channel++) {
            assertArrayEquals(all, Arrays.copyOfRange(colours, 256 * channel, 256 * (channel + 1)));
        }
    }

    /** Pillow clips grey levels of 16 bits. */
    @Test
    void sixteenBitsOfGreyAreClipped() throws IOException {
        assertArrayEquals(
                new int[] {0, 128, 255, 255, 255},
                levels(raw(BufferedImage.TYPE_USHORT_GRAY, 0, 128, 256, 0x8080, 65535), "png", 1));
    }

    @Test
    void coloursAreChannelsInOrder() throws IOException {
        BufferedImage image = row(BufferedImage.TYPE_INT_RGB, 0x010203, 0xfffefd, 0x800000);
        assertArrayEquals(new int[] {1, 255, 128, 2, 254, 0, 3, 253, 0}, levels(image, "png", 3));
    }

    /** ITU-R BT.601. */
    @Test
    void greyOfColoursIsTheirLuma() throws IOException {
        BufferedImage image = row(BufferedImage.TYPE_INT_RGB, 0xff0000, 0x00ff00, 0x0000ff, 0xffffff, 0x7b7b7b);
        assertArrayEquals(new int[] {76, 150, 29, 255, 123}, levels(image, "png", 1));
    }

    @Test
    void transparencyIsDropped() throws IOException {
        BufferedImage image = row(BufferedImage.TYPE_INT_ARGB, 0x00123456, 0xff123456, 0x80000000);
        assertArrayEquals(new int[] {0x12, 0x12, 0, 0x34, 0x34, 0, 0x56, 0x56, 0}, levels(image, "png", 3));
    }

    @Test
    void palettesAreLookedUp() throws IOException {
        IndexColorModel palette =
                new IndexColorModel(2, 3, new int[] {0xff102030, 0xffa0b0c0, 0x00112233}, 0, true, -1, 0);
        BufferedImage image = new BufferedImage(3, 1, BufferedImage.TYPE_BYTE_BINARY, palette);
        image.getRaster().setSamples(0, 0, 3, 1, 0, new int[] {1, 0, 2});
        assertArrayEquals(new int[] {0xa0, 0x10, 0x11, 0xb0, 0x20, 0x22, 0xc0, 0x30, 0x33}, levels(image, "png", 3));
        assertArrayEquals(
                new int[] {0, 255, 255, 0}, levels(raw(BufferedImage.TYPE_BYTE_BINARY, 0, 1, 1, 0), "png", 1));
    }

    @Test
    void jpegsComeClose() throws IOException {
        BufferedImage image = new BufferedImage(16, 16, BufferedImage.TYPE_INT_RGB);
        for (int i = 0; i < 256; i++) {
            image.setRGB(i % 16, i / 16, 0xc86432);
        }
        int[] levels = levels(image, "jpg", 3);
        for (int i = 0; i < levels.length; i++) {
            assertEquals(new int[] {200, 100, 50}[i / 256], levels[i], 4, "at " + i);
        }
        for (int level : levels(raw(BufferedImage.TYPE_BYTE_GRAY, 90, 90, 90), "jpg", 1)) {
            assertEquals(90, level, 2);
        }
    }

    @Test
    void whatCannotBeDecodedIsNamed() throws IOException {
        BufferedImage noise = new BufferedImage(64, 64, BufferedImage.TYPE_INT_RGB);
        Random random = new Random(4);
        for (int i = 0; i < 64 * 64; i++) {
            noise.setRGB(i % 64, i / 64, random.nextInt());
        }
        for (String format : new String[] {"png", "jpg"}) {
            Path file = folder.resolve("noise." + format);
            ImageIO.write(noise, format, file.toFile());
            byte[] whole = Files.readAllBytes(file);
            for (int length : new int[] {0, 1, 30, whole.length / 2, whole.length * 9 / 10}) {
                Files.write(file, Arrays.copyOf(whole, length));
                Refusal.assertRefused(
                        IOException.class, () -> ImageFile.read(file, 3), file.toString(), "repair or remove it");
            }
        }
        Path text = Files.writeString(folder.resolve("text.png"), "this is a text");
        Refusal.assertRefused(IOException.class, () -> ImageFile.read(text, 3), text.toString(), "neither");
        Path missing = folder.resolve("missing.png");
        Refusal.assertRefused(
                DamagedItemException.class, () -> ImageFile.read(missing, 3), missing.toString(), "does not exist");
    }

    /** The message names the file's real kind, for any name. */
    @ParameterizedTest
    @CsvSource({
        "'', an empty file",
        "'GIF89a..', a GIF image",
        "'RIFF....WEBPVP8 ', a WebP image",
        "'BM......', a BMP image",
        "'  <!DOCTYPE html><html>', an HTML page",
        "'version https://git-lfs.github.com/spec/v1', Git LFS",
        "'<?xml version=\"1.0\"?><svg>', an SVG",
        "'....ftypavif', AVIF",
        "'II*\0', a TIFF image",
        "'8BPS', a Photoshop image",
        "'%PDF-1.4', a PDF document"
    })
    void otherContentsAreNamed(String contents, String expected) throws IOException {
        Path file = Files.writeString(folder.resolve("image.jpg"), contents.replace("\\0", "\0"));
        Refusal.assertRefused(
                DamagedItemException.class,
                () -> ImageFile.read(file, 3),
                file + " cannot be read as a PNG or JPEG image (it is ",
                expected,
                "convert, repair or remove it");
    }

    @Test
    void imagesOfOtherFormatsAreNotDecoded() throws IOException {
        for (String format : new String[] {"gif", "bmp", "tif"}) {
            Path file = folder.resolve("other.png");
            assertTrue(ImageIO.write(new BufferedImage(4, 4, BufferedImage.TYPE_INT_RGB), format, file.toFile()));
            Refusal.assertRefused(
                    DamagedItemException.class,
                    () -> ImageFile.read(file, 3),
                    file.toString(),
                    format.toUpperCase(Locale.ROOT));
        }
    }

    /** A header that claims ten thousand million pixels. */
    @Test
    void claimsOfTooManyPixelsAreRefused() throws IOException {
        Path file = folder.resolve("huge.png");
        ImageIO.write(raw(BufferedImage.TYPE_BYTE_GRAY, 1), "png", file.toFile());
        byte[] bytes = Files.readAllBytes(file);
        ByteBuffer.wrap(bytes).putInt(16, 100_000).putInt(20, 100_000);
        Files.write(file, bytes);
        Refusal.assertRefused(IOException.class, () -> ImageFile.read(file, 1), file.toString(), "10000000000 pixels");
    }
}
