package org.metaflowmaps.runtime.file;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Archives of NumPy arrays: written and read again, written by hand as NumPy does, and damaged. */
final class NpzFileTest {
    @TempDir
    private Path folder;

    private final long live = NativeMemory.liveTensors();
    private final TensorScope scope = TensorScope.open();

    @AfterEach
    void nothingIsLeftBehind() {
        scope.close();
        assertEquals(live, NativeMemory.liveTensors());
    }

    /** An array as numpy.save writes it. */
    private static byte[] npy(int version, String header, byte[] data) {
        byte[] text = header.getBytes(ISO_8859_1);
        ByteBuffer bytes = ByteBuffer.allocate(12 + text.length + data.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.put((byte) 0x93)
                .put("NUMPY".getBytes(ISO_8859_1))
                .put((byte) version)
                .put((byte) 0);
        if (version == 2) {
            bytes.putInt(text.length);
        } else {
            bytes.putShort((short) text.length);
        }
        bytes.put(text).put(data);
        return Arrays.copyOf(bytes.array(), bytes.position());
    }

    /** An archive of one array, stored without compression as by numpy.savez. */
    private Path stored(String name, byte[] content) throws IOException {
        Path file = folder.resolve("stored.npz");
        try (OutputStream out = Files.newOutputStream(file);
                ZipOutputStream zip = new ZipOutputStream(out)) {
            ZipEntry entry = new ZipEntry(name + ".npy");
            CRC32 sum = new CRC32();
            sum.update(content);
            entry.setMethod(ZipEntry.STORED);
            entry.setSize(content.length);
            entry.setCompressedSize(content.length);
            entry.setCrc(sum.getValue());
            zip.putNextEntry(entry);
            zip.write(content);
            zip.closeEntry();
        }
        return file;
    }

    private static Tensor read(Path file, String name) throws IOException {
        try (NpzFile open = NpzFile.open(file)) {
            return open.read(name);
        }
    }

    private static void refused(Path file, String... parts) {
        String message = String.valueOf(
                assertThrows(IOException.class, () -> read(file, "a")).getMessage());
        for (String part : parts) {
            assertTrue(message.contains(part), message);
        }
        assertTrue(message.contains(file.toString()), message);
    }

    @Test
    void whatIsWrittenIsReadAgain() throws IOException {
        Map<String, Tensor> arrays = new LinkedHashMap<>();
        arrays.put("mu", Torch.of(new double[] {0.1, -2, 3e300}));
        arrays.put("sigma", Torch.of(new float[] {1, 2, 3, 4, 5, 6}, 2, 3).transpose(0, 1));
        arrays.put("arr_0", Torch.of(new long[] {0, 255, 7, 9}, 2, 2).to(DType.UINT8));
        arrays.put("arr_1", Torch.of(new long[] {Long.MIN_VALUE, 5}));
        arrays.put("count", Torch.of(new long[] {-7}).to(DType.INT32).reshape(Shape.of()));
        arrays.put("none", Torch.zeros(0, 4));
        Path file = folder.resolve("new/all.npz");
        NpzFile.write(file, arrays);
        try (NpzFile open = NpzFile.open(file)) {
            assertEquals(List.copyOf(arrays.keySet()), open.names());
            assertTrue(open.contains("mu") && !open.contains("mu_s"));
            for (Map.Entry<String, Tensor> array : arrays.entrySet()) {
                Tensor found = open.read(array.getKey());
                Tensor wanted = array.getValue();
                assertEquals(wanted.shape(), found.shape(), array.getKey());
                assertEquals(wanted.dtype(), found.dtype(), array.getKey());
                assertArrayEquals(
                        wanted.to(DType.FLOAT64).contiguous().toDoubleArray(),
                        found.to(DType.FLOAT64).toDoubleArray(),
                        array.getKey());
            }
            assertThrows(NpzException.class, () -> open.array("arr_2"));
        }
        Tensor half = Torch.zeros(2).to(DType.FLOAT16);
        assertThrows(IllegalArgumentException.class, () -> NpzFile.write(file, Map.of("a", half)));
        assertTrue(read(file, "mu").numel() == 3, "the file is unchanged");
    }

    @Test
    void rowsAreReadInTurn() throws IOException {
        Path file = folder.resolve("rows.npz");
        Tensor all = Torch.arange(30).reshape(10, 3).to(DType.FLOAT32);
        NpzFile.write(file, Map.of("a", all));
        try (NpzFile open = NpzFile.open(file);
                NpzArray array = open.array("a")) {
            assertEquals(Shape.of(10, 3), array.shape());
            assertEquals(DType.FLOAT32, array.dtype());
            assertArrayEquals(all.narrow(0, 0, 4).toFloatArray(), array.next(4).toFloatArray());
            assertThrows(IllegalStateException.class, array::readAll);
            assertArrayEquals(
                    all.narrow(0, 4, 6).toFloatArray(), array.next(100).toFloatArray());
            assertEquals(Shape.of(0, 3), array.next(1).shape());
            assertThrows(IllegalArgumentException.class, () -> array.next(0));
        }
    }

    @Test
    void rowsAreWrittenInTurn() throws IOException {
        Path file = folder.resolve("written.npz");
        Tensor whole = Torch.arange(24).reshape(4, 3, 2);
        NpzWriter.write(file, writer -> {
            writer.begin("rows", DType.INT64, Shape.of(4, 3, 2));
            writer.rows(whole.narrow(0, 0, 1));
            writer.rows(whole.narrow(0, 1, 0));
            // Not contiguous.
            writer.rows(whole.transpose(1, 2).contiguous().transpose(1, 2).narrow(0, 1, 3));
            writer.begin("none", DType.FLOAT32, Shape.of(0, 3));
            writer.array("whole", whole);
        });
        try (NpzFile open = NpzFile.open(file)) {
            assertEquals(List.of("rows", "none", "whole"), open.names());
            assertArrayEquals(whole.toLongArray(), open.read("rows").toLongArray());
            assertArrayEquals(whole.toLongArray(), open.read("whole").toLongArray());
            assertEquals(Shape.of(0, 3), open.read("none").shape());
            try (NpzArray rows = open.array("rows");
                    NpzArray again = open.array("whole")) {
                assertEquals(rows.checksum(), again.checksum(), "the same content");
            }
        }
    }

    @Test
    void unfinishedAndMisshapenRowsLeaveTheFileUnchanged() throws IOException {
        Path file = folder.resolve("kept.npz");
        NpzFile.write(file, Map.of("a", Torch.zeros(1)));
        byte[] before = Files.readAllBytes(file);
        List<NpzWriter.Body> bodies = List.of(
                writer -> writer.begin("a", DType.FLOAT32, Shape.of(2, 3)),
                writer -> {
                    writer.begin("a", DType.FLOAT32, Shape.of(2, 3));
                    writer.array("b", Torch.zeros(1));
                },
                writer -> writer.rows(Torch.zeros(1, 3)),
                writer -> {
                    writer.begin("a", DType.FLOAT32, Shape.of(2, 3));
                    writer.rows(Torch.zeros(1, 4));
                },
                writer -> {
                    writer.begin("a", DType.FLOAT32, Shape.of(2, 3));
                    writer.rows(Torch.zeros(3, 3));
                },
                writer -> {
                    writer.begin("a", DType.FLOAT32, Shape.of(2, 3));
                    writer.rows(Torch.zeros(DType.INT64, Device.CPU, 2, 3));
                },
                writer -> writer.begin("a", DType.FLOAT32, Shape.of()),
                writer -> writer.begin("a", DType.BOOL, Shape.of(2)));
        for (NpzWriter.Body body : bodies) {
            assertThrows(RuntimeException.class, () -> NpzWriter.write(file, body));
            assertArrayEquals(before, Files.readAllBytes(file));
        }
        assertThrows(
                IOException.class,
                () -> NpzWriter.write(file, writer -> {
                    writer.array("a", Torch.zeros(1));
                    writer.array("a", Torch.zeros(1));
                }));
        assertArrayEquals(before, Files.readAllBytes(file));
    }

    /** 4.3 GiB of images, almost all black. */
    @Test
    @Tag("soak")
    void archivesMayBeLargerThanAZipsOldLimit() throws IOException {
        Path file = folder.resolve("large.npz");
        long rows = 22_000;
        NpzWriter.write(file, writer -> {
            writer.begin("arr_0", DType.UINT8, Shape.of(rows, 256, 256, 3));
            for (long at = 0; at < rows; at += 500) {
                try (TensorScope inner = TensorScope.open()) {
                    Tensor part = Torch.zeros(DType.UINT8, Device.CPU, 500, 256, 256, 3);
                    part.narrow(0, 499, 1).fill_(at / 500.0);
                    writer.rows(part);
                }
            }
            writer.array("arr_1", Torch.arange(3));
        });
        try (NpzFile open = NpzFile.open(file);
                NpzArray images = open.array("arr_0")) {
            assertArrayEquals(new long[] {0, 1, 2}, open.read("arr_1").toLongArray());
            for (long at = 0; at < rows; at += 500) {
                try (TensorScope inner = TensorScope.open()) {
                    assertEquals(at / 500.0, images.next(500).max().item());
                }
            }
            assertEquals(0, images.next(500).size(0));
        }
    }

    @Test
    void headersOfNumPyAreUnderstood() throws IOException {
        byte[] data = {1, 0, 0, 0, 2, 0, 0, 0};
        String header = "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }      \n";
        for (int version : new int[] {1, 2}) {
            Tensor read = read(stored("a", npy(version, header, data)), "a");
            assertArrayEquals(new long[] {1, 2}, read.to(DType.INT64).toLongArray());
        }
        // Python 2; and an order that does not matter in one dimension.
        Tensor old = read(stored("a", npy(1, "{'shape': (2L,), 'fortran_order': True, 'descr': '<i4'}\n", data)), "a");
        assertEquals(Shape.of(2), old.shape());
        Tensor scalar = read(
                stored("a", npy(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (), }\n", new byte[8])), "a");
        assertEquals(Shape.of(), scalar.shape());
    }

    @Test
    void otherArraysAreRefused() throws IOException {
        byte[] data = new byte[16];
        String rest = ", 'fortran_order': False, 'shape': (2, 2), }\n";
        refused(stored("a", npy(1, "{'descr': '>f4'" + rest, data)), "'>f4'", "<f4", "astype");
        refused(stored("a", npy(1, "{'descr': [('x', '<f4')]" + rest, data)), "a plain array");
        refused(
                stored("a", npy(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }\n", data)),
                "Fortran",
                "ascontiguousarray");
        refused(stored("a", npy(3, "{'descr': '<f4'" + rest, data)), "version 3");
        refused(stored("a", npy(1, "{'descr': '<f4'" + rest, new byte[12])), "12 bytes", "16");
        refused(stored("a", npy(1, "{'descr': '<f4'" + rest, new byte[17])), "17 bytes", "16");
        for (String shape : List.of("-1, -4", "4294967296, 4294967296, 2", "x", "1.5", "18446744073709551615")) {
            refused(
                    stored("a", npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (" + shape + "), }", data)),
                    "shape");
        }
        refused(stored("a", "not an array".getBytes(ISO_8859_1)), "does not begin");
        refused(stored("a", new byte[] {(byte) 0x93, 'N', 'U'}), "does not begin");
        refused(stored("b", npy(1, "{'descr': '<f4'" + rest, data)), "[b]", "one called a");
        Path text = Files.writeString(folder.resolve("text.npz"), "mu sigma");
        refused(text, "not a whole archive");
        assertThrows(NoSuchFileException.class, () -> NpzFile.open(folder.resolve("missing.npz")));
    }

    @Test
    void aFileCutOrChangedAnywhereIsRefusedOrReadRight() throws IOException {
        Path whole = folder.resolve("whole.npz");
        double[] values = {1, 2, 3, 4, 5, 6};
        NpzFile.write(whole, Map.of("a", Torch.of(values)));
        byte[] bytes = Files.readAllBytes(whole);
        Path file = folder.resolve("damaged.npz");
        for (int length = 0; length < bytes.length; length++) {
            Files.write(file, Arrays.copyOf(bytes, length));
            assertThrows(IOException.class, () -> read(file, "a"));
        }
        for (int at = 0; at < bytes.length; at++) {
            byte[] changed = bytes.clone();
            changed[at] ^= 0x55;
            Files.write(file, changed);
            try {
                assertArrayEquals(values, read(file, "a").toDoubleArray(), "byte " + at);
            } catch (IOException e) {
                assertTrue(String.valueOf(e.getMessage()).contains(file.toString()), e::toString);
            }
        }
    }
}
