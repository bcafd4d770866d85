package org.metaflowmaps.training.metrics;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TensorBoardWriterTest {
    private static final InstantSource CLOCK = InstantSource.fixed(Instant.parse("2017-03-09T00:00:00.5Z"));
    /** The time as a double: 1489017600.5 seconds, field 1. */
    private static final String TIME = "09000020c02630d641";

    @Test
    void maskedChecksumOfTheCheckString() {
        // CRC-32C of "123456789" is e3069283 (RFC 3720's check value); rotated by 15 bits and moved by a282ead8.
        byte[] text = "xx123456789".getBytes(StandardCharsets.US_ASCII);
        assertEquals(Integer.rotateRight(0xe3069283, 15) + 0xa282ead8, TensorBoardWriter.maskedCrc(text, 2, 9));
    }

    @Test
    void beginsAsTensorFlowsOwnFilesDo(@TempDir Path folder) throws IOException {
        Path file;
        try (TensorBoardWriter writer = TensorBoardWriter.open(folder, 0, CLOCK)) {
            file = writer.file();
        }
        assertTrue(file.getFileName().toString().startsWith("events.out.tfevents.1489017600."), file.toString());
        byte[] content = Files.readAllBytes(file);
        // 24 bytes, the masked checksum of that number, the time, then field 3.
        String expected = "1800000000000000" + "a37f4b22" + TIME + "1a0d"
                + HexFormat.of().formatHex("brain.Event:2".getBytes(StandardCharsets.US_ASCII));
        assertEquals(expected, HexFormat.of().formatHex(content, 0, 36));
        assertEquals(1, records(file).size());
    }

    @Test
    void scalarsAreEncodedByteForByte(@TempDir Path folder) throws IOException {
        try (TensorBoardWriter writer = TensorBoardWriter.open(folder, 0, CLOCK)) {
            writer.scalar("loss", 300, 1.5);
            writer.scalar("é", 0, Double.NaN);
            // step 300 = ac 02; summary of 13 bytes, value of 11: tag "loss", float 1.5
            List<byte[]> records = records(writer.file());
            assertEquals(
                    TIME + "10ac02" + "2a0d" + "0a0b" + "0a046c6f7373" + "150000c03f",
                    HexFormat.of().formatHex(records.get(1)));
            assertEquals(
                    TIME + "2a0b" + "0a09" + "0a02c3a9" + "150000c07f",
                    HexFormat.of().formatHex(records.get(2)));
        }
    }

    @Test
    void recordsAreInTheFileBeforeItIsClosed(@TempDir Path folder) throws IOException {
        try (TensorBoardWriter writer = TensorBoardWriter.open(folder, 0)) {
            for (int i = 1; i < 50; i++) {
                writer.scalar("a/" + "b".repeat(i * 10), Long.MAX_VALUE - i, i);
                assertEquals(i + 1, records(writer.file()).size());
            }
            writer.flush();
        }
    }

    @Test
    void resumingTellsTensorBoardToForgetLaterSteps(@TempDir Path folder) throws IOException {
        try (TensorBoardWriter writer = TensorBoardWriter.open(folder, 100, CLOCK)) {
            List<byte[]> records = records(writer.file());
            assertEquals(2, records.size());
            // step 101, session log with status START
            assertEquals(TIME + "1065" + "3a020801", HexFormat.of().formatHex(records.get(1)));
        }
    }

    @Test
    void filesOfOneSecondDoNotOverwriteEachOther(@TempDir Path folder) throws IOException {
        try (TensorBoardWriter first = TensorBoardWriter.open(folder, 0, CLOCK);
                TensorBoardWriter second = TensorBoardWriter.open(folder, 0, CLOCK)) {
            first.scalar("a", 1, 1);
            second.scalar("b", 2, 2);
            assertTrue(first.file().compareTo(second.file()) < 0);
            assertEquals(2, records(first.file()).size());
            assertEquals(2, records(second.file()).size());
        }
    }

    @ParameterizedTest
    @CsvSource({"TYPE_BYTE_GRAY, 1", "TYPE_INT_RGB, 3", "TYPE_INT_ARGB, 4"})
    void imagesCarryTheirSizeAndColours(String type, int channels, @TempDir Path folder) throws Exception {
        int kind = BufferedImage.class.getField(type).getInt(null);
        ByteArrayOutputStream png = new ByteArrayOutputStream();
        ImageIO.write(new BufferedImage(7, 5, kind), "png", png);
        try (TensorBoardWriter writer = TensorBoardWriter.open(folder, 0, CLOCK)) {
            writer.image("samples", 1, png.toByteArray());
            byte[] record = records(writer.file()).get(1);
            int start = record.length - png.size();
            assertArrayEquals(png.toByteArray(), Arrays.copyOfRange(record, start, record.length));
            String before = HexFormat.of().formatHex(record, 0, start);
            // height 5, width 7, channels, then the length of the PNG data
            assertTrue(before.contains("0805" + "1007" + "180" + channels + "22"), before);
        }
    }

    @Test
    void badInputIsRefused(@TempDir Path folder) throws IOException {
        assertThrows(IllegalArgumentException.class, () -> TensorBoardWriter.open(folder, -1));
        try (TensorBoardWriter writer = TensorBoardWriter.open(folder, 0)) {
            assertThrows(IllegalArgumentException.class, () -> writer.scalar("", 1, 1));
            assertThrows(IllegalArgumentException.class, () -> writer.scalar("a", -1, 1));
            assertThrows(IllegalArgumentException.class, () -> writer.image("a", 1, new byte[100]));
            assertThrows(IllegalArgumentException.class, () -> writer.image("a", 1, new byte[3]));
            assertEquals(1, records(writer.file()).size());
        }
    }

    /** Splits a file into records and checks every checksum, using only the framing. */
    private static List<byte[]> records(Path file) throws IOException {
        ByteBuffer in = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        List<byte[]> records = new ArrayList<>();
        while (in.hasRemaining()) {
            byte[] length = new byte[8];
            in.get(length);
            assertEquals(slowMaskedCrc(length), in.getInt(), "checksum of the length of record " + records.size());
            byte[] data = new byte
                    [(int) ByteBuffer.wrap(length)
                            .order(ByteOrder.LITTLE_ENDIAN)
                            .getLong()];
            in.get(data);
            assertEquals(slowMaskedCrc(data), in.getInt(), "checksum of record " + records.size());
            records.add(data);
        }
        return records;
    }

    /** CRC-32C bit by bit, masked. */
    private static int slowMaskedCrc(byte[] data) {
        int crc = -1;
        for (byte b : data) {
            crc ^= b & 0xff;
            for (int bit = 0; bit < 8; bit++) {
                crc = (crc >>> 1) ^ ((crc & 1) == 0 ? 0 : 0x82f63b78);
            }
        }
        crc = ~crc;
        return ((crc >>> 15) | (crc << 17)) + 0xa282ead8;
    }
}
