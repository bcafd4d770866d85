package org.metaflowmaps.runtime.file;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.file.PyTorchSamples.floats;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.OutgoingTensor.Deferred;
import org.metaflowmaps.runtime.file.PyTorchSamples.Pickle;

/** Files for torch.load: the archive as another library reads it, the pickle byte by byte, and back again. */
class PyTorchWriterTest {
    @TempDir
    private Path folder;

    private static Deferred outgoing(String name, Tensor tensor) {
        return new Deferred(name, tensor.dtype(), tensor.shape(), () -> tensor);
    }

    private Path write(Map<String, Tensor> tensors) throws IOException {
        Path file = folder.resolve("written.pt");
        List<Deferred> outgoing = new ArrayList<>();
        tensors.forEach((name, tensor) -> outgoing.add(outgoing(name, tensor)));
        TensorFile.write(file, Map.of(), outgoing);
        return file;
    }

    @Test
    void theArchiveIsTheOneTorchWrites() throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            Path file = write(Map.of("w", Torch.of(new float[] {1, 2, 3, 4, 5, 6}, 2, 3)));
            try (ZipFile zip = new ZipFile(file.toFile())) {
                List<String> names = new ArrayList<>();
                for (ZipEntry entry : Collections.list(zip.entries())) {
                    names.add(entry.getName());
                    assertEquals(ZipEntry.STORED, entry.getMethod());
                    // Reading to the end compares the checksum.
                    try (InputStream in = zip.getInputStream(entry)) {
                        assertEquals(entry.getSize(), in.readAllBytes().length);
                    }
                }
                assertEquals(
                        List.of("archive/data.pkl", "archive/byteorder", "archive/data/0", "archive/version"), names);
                assertArrayEquals("3\n".getBytes(UTF_8), content(zip, "version"));
                assertArrayEquals("little".getBytes(UTF_8), content(zip, "byteorder"));
                assertArrayEquals(floats(1, 2, 3, 4, 5, 6), content(zip, "data/0"));
                byte[] expected = new Pickle(2)
                        .items()
                        .text("w")
                        .global("torch._utils", "_rebuild_tensor_v2")
                        .op('(', '(')
                        .text("storage")
                        .global("torch", "FloatStorage")
                        .text("0")
                        .text("cpu")
                        .number(6)
                        .op('t', 'Q', 'K', 0, 'K', 2, 'K', 3, 0x86, 'K', 3, 'K', 1, 0x86, 0x89)
                        .orderedDict()
                        .op('t', 'R')
                        .endItems()
                        .stop();
                assertArrayEquals(expected, content(zip, "data.pkl"));
            }
        }
    }

    /** As in SiT's training checkpoints: {"ema": {"w": …}, "step": …}. */
    @Test
    void averagedWeightsLieInADictOfTheirOwn() throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            tensors.put("ema.w", Torch.zeros(2));
            tensors.put("step", Torch.zeros(1));
            tensors.put("ema.b", Torch.zeros(3));
            Path file = write(tensors);
            Pickle expected = new Pickle(2).items().text("ema").items();
            vector(expected, "w", "0", 2);
            vector(expected, "b", "2", 3);
            vector(expected.endItems(), "step", "1", 1);
            try (ZipFile zip = new ZipFile(file.toFile())) {
                assertArrayEquals(expected.endItems().stop(), content(zip, "data.pkl"));
            }
            try (PyTorchFile read = PyTorchFile.open(file)) {
                assertEquals(Set.of("ema.w", "ema.b", "step"), read.entries().keySet());
            }
        }
    }

    /** Texts are an attribute of the dict, which readers of tensors ignore. */
    @Test
    void textsAreKept() throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            Path file = folder.resolve("texts.pt");
            PyTorchWriter.write(
                    file,
                    Map.of("network", "{\"depth\": 2}", "step", "7"),
                    List.of(outgoing("ema.w", Torch.zeros(2)), outgoing("b", Torch.zeros(1))));
            Pickle expected = new Pickle(2).orderedDict().op('(').text("ema").items();
            vector(expected, "w", "0", 2);
            vector(expected.endItems(), "b", "1", 1);
            expected.op('u')
                    .items()
                    .text("_mfm")
                    .items()
                    .text("network")
                    .text("{\"depth\": 2}")
                    .text("step")
                    .text("7")
                    .endItems()
                    .endItems()
                    .op('b');
            try (ZipFile zip = new ZipFile(file.toFile())) {
                assertArrayEquals(expected.stop(), content(zip, "data.pkl"));
            }
            try (PyTorchFile read = PyTorchFile.open(file)) {
                assertEquals(Set.of("ema.w", "b"), read.entries().keySet());
                assertEquals(Map.of("network", "{\"depth\": 2}", "step", "7"), read.metadata());
            }
        }
    }

    private static void vector(Pickle pickle, String name, String storage, int size) {
        pickle.text(name)
                .global("torch._utils", "_rebuild_tensor_v2")
                .op('(', '(')
                .text("storage")
                .global("torch", "FloatStorage")
                .text(storage)
                .text("cpu")
                .number(size)
                .op('t', 'Q', 'K', 0, 'K', size, 0x85, 'K', 1, 0x85, 0x89)
                .orderedDict()
                .op('t', 'R');
    }

    private static byte[] content(ZipFile zip, String name) throws IOException {
        try (InputStream in = zip.getInputStream(Objects.requireNonNull(zip.getEntry("archive/" + name)))) {
            return in.readAllBytes();
        }
    }

    @Test
    void whatIsWrittenComesBack() throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            for (DType type : DType.values()) {
                Tensor original = Torch.of(new float[] {0, 1, 1, 0, 1, 1}, 2, 3).to(type);
                Path file = write(Map.of(
                        "t",
                        original.transpose(0, 1),
                        "one",
                        original.select(0, 0).select(0, 1),
                        "none",
                        Torch.empty(type, Device.CPU, 0, 2)));
                try (PyTorchFile read = PyTorchFile.open(file);
                        TensorScope inner = TensorScope.open()) {
                    assertEquals(type, read.view("t").dtype());
                    assertEquals(Shape.of(3, 2), read.view("t").shape());
                    assertArrayEquals(
                            new double[] {0, 0, 1, 1, 1, 1}, read.view("t").toDoubleArray());
                    assertEquals(Shape.of(), read.view("one").shape());
                    assertEquals(1, read.view("one").item());
                    assertEquals(Shape.of(0, 2), read.view("none").shape());
                    for (PyTorchFile.Entry entry : read.entries().values()) {
                        assertEquals(0, entry.begin() % 64, entry.name());
                    }
                }
            }
        }
    }

    /** More records than a byte counts, and a storage larger than the buffer and than two bytes count. */
    @Test
    void manyAndLargeTensors() throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            for (int i = 0; i < 300; i++) {
                tensors.put("blocks." + i + ".weight", Torch.full(i, DType.FLOAT32, Device.CPU, 3));
            }
            tensors.put("large", Torch.arange(300_000));
            tensors.put("\u00e9\ud83d\ude00", Torch.zeros(1));
            Path file = write(tensors);
            byte[] first = Files.readAllBytes(file);
            write(tensors);
            assertArrayEquals(first, Files.readAllBytes(file));
            try (PyTorchFile read = PyTorchFile.open(file);
                    TensorScope inner = TensorScope.open()) {
                assertEquals(
                        List.copyOf(tensors.keySet()),
                        List.copyOf(read.entries().keySet()));
                assertEquals(299, read.view("blocks.299.weight").mean().item());
                assertEquals(
                        0, read.view("large").ne(Torch.arange(300_000)).sum().item());
            }
        }
    }

    @Test
    void whatCannotBeWrittenLeavesNothing() throws IOException {
        long live = NativeMemory.liveTensors();
        try (TensorScope scope = TensorScope.open()) {
            Path file = write(Map.of("w", Torch.zeros(1)));
            byte[] before = Files.readAllBytes(file);
            Tensor one = Torch.zeros(1);
            assertThrows(
                    IllegalArgumentException.class,
                    () -> PyTorchWriter.write(file, List.of(outgoing("a", one), outgoing("a", one))));
            assertThrows(
                    IllegalArgumentException.class,
                    () -> PyTorchWriter.write(file, List.of(outgoing("ema", one), outgoing("ema.a", one))));
            Deferred liar = new Deferred("a", DType.FLOAT32, Shape.of(2), () -> one);
            assertThrows(IllegalStateException.class, () -> PyTorchWriter.write(file, List.of(liar)));
            assertThrows(
                    IllegalArgumentException.class,
                    () -> TensorFile.write(folder.resolve("a.npz"), Map.of(), List.of()));
            assertArrayEquals(before, Files.readAllBytes(file));
            assertEquals(
                    List.of("written.pt"),
                    Arrays.asList(Objects.requireNonNull(folder.toFile().list())));
            assertFalse(Files.exists(folder.resolve("a.npz")));
        }
        assertEquals(live, NativeMemory.liveTensors());
    }

    /** Values made one at a time are freed one at a time. */
    @Test
    void valuesAreMadeWhenTheyAreWritten() throws IOException {
        long live = NativeMemory.liveTensors();
        List<Long> seen = new ArrayList<>();
        List<Deferred> tensors = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            tensors.add(new Deferred("t" + i, DType.FLOAT16, Shape.of(1000), () -> {
                seen.add(NativeMemory.liveTensors() - live);
                return Torch.zeros(1000).to(DType.FLOAT16);
            }));
        }
        for (String name : List.of("lazy.pt", "lazy.safetensors")) {
            seen.clear();
            TensorFile.write(folder.resolve(name), Map.of(), tensors);
            assertEquals(Collections.nCopies(20, 0L), seen);
            try (TensorFile file = TensorFile.open(folder.resolve(name))) {
                assertEquals(20, file.entries().size());
                assertTrue(file.entries().values().stream()
                        .allMatch(entry -> entry.elements() == 1000 && entry.dtype() == DType.FLOAT16));
            }
        }
        assertEquals(live, NativeMemory.liveTensors());
    }
}
