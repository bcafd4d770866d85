package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Random;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class IdxTest {
    /** More than reading such a small file needs, far less than a damaged header can claim. */
    private static final long MEMORY_BOUND = 2L << 20;

    private final byte[] elements = new byte[3 * 4 * 5];
    private final byte[] plain;
    private final byte[] zipped;

    IdxTest() {
        new Random(1).nextBytes(elements);
        plain = idx(elements, 3, 4, 5);
        zipped = gzip(plain);
    }

    @Test
    void readsPlainAndZippedAlikeWhateverTheName(@TempDir Path folder) throws IOException {
        for (byte[] content : new byte[][] {plain, zipped}) {
            Path file = Files.write(folder.resolve("images"), content);
            IdxArray array = Idx.read(file);
            assertArrayEquals(new int[] {3, 4, 5}, array.shape());
            assertArrayEquals(elements, array.data());
        }
    }

    @Test
    void missingFileIsNotAMalformedOne(@TempDir Path folder) {
        assertThrows(NoSuchFileException.class, () -> Idx.read(folder.resolve("none")));
    }

    @Test
    void shapeIsACopy() throws IOException {
        IdxArray array = read(plain);
        array.shape()[0] = 99;
        assertArrayEquals(new int[] {3, 4, 5}, array.shape());
    }

    @Test
    void everyTruncationIsRefused() {
        for (byte[] content : new byte[][] {plain, zipped}) {
            for (int length = 0; length < content.length; length++) {
                byte[] cut = Arrays.copyOf(content, length);
                IdxException e = assertThrows(IdxException.class, () -> read(cut));
                assertTrue(e.toString().contains(": here: "), e.toString());
            }
        }
    }

    @Test
    void trailingBytesAreRefused() {
        for (int extra = 1; extra < 40; extra++) {
            byte[] longer = Arrays.copyOf(plain, plain.length + extra);
            byte[] longerZipped = Arrays.copyOf(zipped, zipped.length + extra);
            assertRefused("bytes follow the 60 elements", longer);
            assertRefused("bytes follow the 60 elements", gzip(longer));
            assertRefused("bytes follow the end of the gzip data", longerZipped);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "89504e47 0d0a1a0a, begins with 89 50 4e 47",
        "00000803 00000002, the header ends after 8 bytes",
        "00000800 00000000, begins with 00 00 08 00",
        "000008ff 00000001, begins with 00 00 08 ff",
        "00000701 00000001, begins with 00 00 07 01",
        "00000901 00000001, signed byte",
        "00000b01 00000001, 16-bit integer",
        "00000c01 00000001, 32-bit integer",
        "00000d01 00000001, 32-bit float",
        "00000e01 00000001, 64-bit float",
        "00000801 00000000, dimension 0 has size 0",
        "00000801 ffffffff, promises more than 1073741824",
        "00000801 40000001, promises more than 1073741824",
        "00000801 40000000, 'holds 0 elements, its header promises 1073741824 (1073741824)'",
        "00000801 00000002, 'holds 0 elements, its header promises 2 (2)'",
        "0000, only 2 bytes",
    })
    void saysWhatIsWrong(String hex, String expected) {
        assertRefused(expected, HexFormat.of().parseHex(hex.replace(" ", "")));
    }

    @Test
    void productsThatOverflowAreRefused() {
        assertRefused("promises more than", idx(new byte[1], 65536, 65536, 65536, 65536));
        assertRefused("promises more than", idx(new byte[1], 1, 1 << 30, 4));
        assertRefused("promises more than", idx(new byte[1], 1 << 16, 1 << 16));
    }

    @Test
    void aChangedByteOfAZippedFileIsRefusedOrChangesNothing() {
        for (int at = 0; at < zipped.length; at++) {
            for (int flip = 1; flip < 256; flip += 2) {
                byte[] changed = zipped.clone();
                changed[at] ^= (byte) flip;
                try {
                    assertArrayEquals(elements, read(changed).data(), "byte " + at);
                } catch (IdxException e) {
                    assertTrue(e.toString().contains(": here: "));
                } catch (IOException e) {
                    throw new AssertionError("undocumented exception", e);
                }
            }
        }
    }

    @Test
    void mutationsOnlyThrowTheDocumentedExceptionAndStayWithinMemory() {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        Random random = new Random(7);
        int refused = 0;
        for (int round = 0; round < 6000; round++) {
            byte[] changed = (random.nextBoolean() ? plain : zipped).clone();
            for (int change = random.nextInt(4); change >= 0; change--) {
                // Mostly the header: the elements of a plain file may be anything.
                int at = random.nextInt(random.nextInt(4) == 0 ? changed.length : 16);
                changed[at] = (byte) random.nextInt();
            }
            if (random.nextInt(3) == 0) {
                changed = Arrays.copyOf(changed, random.nextInt(2 * changed.length));
            }
            long before = threads.getCurrentThreadAllocatedBytes();
            try {
                IdxArray array = read(changed);
                int product = Arrays.stream(array.shape()).reduce(1, (a, b) -> a * b);
                assertEquals(product, array.data().length);
            } catch (IdxException e) {
                refused++;
            } catch (IOException e) {
                throw new AssertionError("undocumented exception", e);
            }
            long used = threads.getCurrentThreadAllocatedBytes() - before;
            assertTrue(used < MEMORY_BOUND, used + " bytes for a file of " + changed.length);
        }
        assertTrue(refused > 3000, "only " + refused + " mutations were noticed");
    }

    private static void assertRefused(String expected, byte[] content) {
        IdxException e = assertThrows(IdxException.class, () -> read(content));
        assertTrue(e.toString().contains(": here: ") && e.toString().contains(expected), e.toString());
    }

    private static IdxArray read(byte[] content) throws IOException {
        return Idx.read(new ByteArrayInputStream(content), "here");
    }

    static byte[] idx(byte[] elements, int... shape) {
        ByteBuffer file = ByteBuffer.allocate(4 + 4 * shape.length + elements.length);
        file.putInt(0x0800 | shape.length);
        for (int size : shape) {
            file.putInt(size);
        }
        return file.put(elements).array();
    }

    static byte[] gzip(byte[] content) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (GZIPOutputStream gzip = new GZIPOutputStream(out)) {
            gzip.write(content);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return out.toByteArray();
    }
}
