package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.cli.Command.files;
import static org.metaflowmaps.cli.Command.mfm;
import static org.metaflowmaps.cli.Command.tiny;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.PyTorchFile;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.runtime.file.TensorFile;

/** {@code mfm inspect} and {@code mfm convert} as a user runs them. */
final class CheckpointCommandsTest {
    @TempDir
    private static Path folder;

    private static String trained = "";
    private long live;

    @BeforeAll
    static void train() {
        Path run = folder.resolve("trained");
        tiny("train", "quickstart", "--device", "cpu", "--out", run.toString()).succeeded();
        trained = run.resolve("checkpoint.safetensors").toString();
    }

    @BeforeEach
    void look() {
        live = NativeMemory.liveTensors();
    }

    @AfterEach
    void nothingIsLeft() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    private static String path(String name) {
        return folder.resolve(name).toString();
    }

    @Test
    void inspectShowsTensorsAndTheNetwork() {
        String out = mfm("inspect", trained).succeeded().out();
        assertTrue(
                out.lines()
                        .anyMatch(line -> line.matches("dit\\.x_embedder\\.proj\\.weight +float32 +\\[8, 1, 14, 14]")),
                out);
        assertTrue(out.lines().anyMatch(line -> line.matches("train/values +float32 +\\[\\d+]")), out);
        assertTrue(out.lines().anyMatch(line -> line.matches("[\\d,]+ tensors, [\\d,]+ numbers, [\\d,]+ bytes")), out);
        assertTrue(
                out.contains("metadata step = 4") && out.contains("metadata network = {\"") && out.contains("..."),
                out);
        assertTrue(out.contains("layout: MFM, names under 'dit.'"), out);
        assertTrue(
                out.contains("network: 8 wide, 2 blocks") && out.contains("items 1x28x28 in patches of 14, 10 classes"),
                out);
        assertTrue(out.contains("whole: every tensor"), out);
        assertTrue(out.startsWith("layout: MFM"), "the summary comes first: " + out);
        assertTrue(
                out.indexOf("whole: ") < out.indexOf("metadata ")
                        && out.indexOf("metadata ") < out.indexOf("train/values"),
                out);
        mfm("inspect", trained, "--prefix", "nosuch").failed("--prefix 'nosuch'", "[dit.]");
        mfm("convert", trained, path("nosuch.pt"), "--prefix", "nosuch").failed("--prefix 'nosuch'", "[dit.]");
        assertEquals(out, mfm("inspect", trained, "--prefix", "dit").succeeded().out());
        String given = mfm("inspect", trained, "--prefix", "train/").succeeded().out();
        assertTrue(given.contains("layout: mfm, names under 'train/'"), given);
    }

    /** Conversion to PyTorch's format and back keeps every bit; the result can be sampled. */
    @Test
    void aCheckpointIsConvertedThereAndBack() throws IOException {
        String there = mfm("convert", trained, path("there.pt")).succeeded().out();
        assertTrue(there.contains("the network and were left out:") && there.contains("  train/values"), there);
        String inspected = mfm("inspect", path("there.pt")).succeeded().out();
        assertTrue(inspected.contains("layout: MFM, names under 'dit.'") && inspected.contains("whole: "), inspected);
        assertFalse(mfm("convert", path("there.pt"), path("back.safetensors"), "--out-prefix", "model.")
                .succeeded()
                .out()
                .contains("left out"));
        try (SafetensorsFile before = SafetensorsFile.open(Path.of(trained));
                SafetensorsFile after = SafetensorsFile.open(folder.resolve("back.safetensors"))) {
            List<String> names = before.entries().keySet().stream()
                    .filter(name -> name.startsWith("dit."))
                    .toList();
            assertEquals(names.size(), after.entries().size());
            for (String name : names) {
                assertEquals(-1, before.bytes(name).mismatch(after.bytes(name.replaceFirst("dit", "model"))), name);
            }
        }
        mfm("sample", path("there.pt"), "--device", "cpu", "--count", "1", "--out", path("c.safetensors"))
                .succeeded();
        mfm("convert", path("there.pt"), path("averaged.pt"), "--out-prefix", "ema.")
                .succeeded();
        String averaged = mfm("inspect", path("averaged.pt")).succeeded().out();
        assertTrue(averaged.contains("names under 'ema.'") && averaged.contains("whole: "), averaged);
        mfm("convert", trained, path("slim.safetensors")).succeeded();
        mfm("sample", trained, "--device", "cpu", "--count", "1", "--out", path("a.safetensors"))
                .succeeded();
        mfm("sample", path("slim.safetensors"), "--device", "cpu", "--count", "1", "--out", path("b.safetensors"))
                .succeeded();
        assertArrayEquals(
                Files.readAllBytes(folder.resolve("a.safetensors")),
                Files.readAllBytes(folder.resolve("b.safetensors")));
        assertArrayEquals(
                Files.readAllBytes(folder.resolve("a.safetensors")),
                Files.readAllBytes(folder.resolve("c.safetensors")));
        assertTrue(Files.size(folder.resolve("slim.safetensors")) < Files.size(Path.of(trained)) / 2);
    }

    @Test
    void typesAreChangedWhereAsked() throws IOException {
        mfm("convert", trained, path("half.pt"), "--dtype", "bf16").succeeded();
        try (PyTorchFile half = PyTorchFile.open(folder.resolve("half.pt"))) {
            assertTrue(half.entries().values().stream()
                    .allMatch(entry -> entry.dtype().toString().equals("bfloat16")));
        }
        mfm("convert", trained, path("x.pt"), "--dtype", "int8").refused("--dtype", "f32, f16, bf16");
    }

    @Test
    void whatIsNotWholeIsRefusedOrListed() throws IOException {
        Path partly = folder.resolve("partly.safetensors");
        try (TensorFile file = TensorFile.open(Path.of(trained));
                TensorScope scope = TensorScope.open()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            file.entries().keySet().forEach(name -> tensors.put(name, file.view(name)));
            tensors.remove("dit.final_layer.linear.bias");
            tensors.put("dit.more", Torch.zeros(2));
            Safetensors.write(partly, Map.of(), tensors);
        }
        List<String> before = files(folder);
        mfm("convert", partly.toString(), path("whole.pt"))
                .failed(
                        partly.toString(),
                        "dit.final_layer.linear.bias is missing",
                        "dit.more is not part of the network",
                        "--lenient");
        assertEquals(before, files(folder));
        String inspected = mfm("inspect", partly.toString()).succeeded().out();
        assertTrue(
                inspected.contains("not whole in 2 places:")
                        && inspected.contains("  dit.more is not part of the network"),
                inspected);
        String out = mfm("convert", partly.toString(), path("partly.pt"), "--lenient")
                .succeeded()
                .out();
        assertTrue(
                out.contains("2 tensors do not fit:") && out.contains("  dit.final_layer.linear.bias is missing"), out);
    }

    @Test
    void filesWithoutANetwork() throws IOException {
        Path plain = folder.resolve("plain.safetensors");
        try (TensorScope scope = TensorScope.open()) {
            Safetensors.write(plain, Map.of(), Map.of("a", Torch.zeros(2), "b", Torch.zeros(3)));
        }
        assertTrue(mfm("inspect", plain.toString()).succeeded().out().contains("layout: unknown"));
        mfm("convert", plain.toString(), path("plain.pt")).failed(plain.toString(), "no known network", "--lenient");
        mfm("convert", plain.toString(), path("plain.pt"), "--lenient").succeeded();
        try (TensorFile copy = TensorFile.open(folder.resolve("plain.pt"))) {
            assertEquals(Set.of("a", "b"), copy.entries().keySet());
        }
        mfm("convert", plain.toString(), path("plain.npz"), "--lenient").failed("plain.npz", ".safetensors or .pt");
        mfm("inspect", path("nothing.pt")).failed("nothing.pt does not exist");
        mfm("convert", plain.toString()).refused("OUT");
    }

    /** A public file does not show is_zero_data: inspect and convert do not need it, computing does. */
    @Test
    void whatComputesAsksForTheClock() throws IOException {
        Path bare = folder.resolve("bare.safetensors");
        try (TensorFile file = TensorFile.open(Path.of(trained));
                TensorScope scope = TensorScope.open()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            file.entries().keySet().stream()
                    .filter(name -> name.startsWith("dit."))
                    .forEach(name -> tensors.put(name, file.view(name)));
            Safetensors.write(bare, Map.of(), tensors);
        }
        String inspected = mfm("inspect", bare.toString()).succeeded().out();
        assertTrue(inspected.contains("is_zero_data: not in the file"), inspected);
        mfm("convert", bare.toString(), path("bare.pt")).succeeded();
        mfm("sample", bare.toString(), "--out", path("bare.png")).failed("is_zero_data");
        String run = path("begun");
        tiny("train", "quickstart", "--device", "cpu", "--out", run, "init=" + bare)
                .failed("init names", "is_zero_data");
        tiny(
                        "train",
                        "quickstart",
                        "--device",
                        "cpu",
                        "--out",
                        run,
                        "init=" + bare,
                        "model.transformer.is_zero_data=false")
                .succeeded();
        tiny("train", "quickstart", "--device", "cpu", "--out", path("again"), "init=" + trained)
                .succeeded();
    }

    /** A file whose pickle would delete everything if it were run. */
    @Test
    void aFileThatNamesCodeRunsNone() throws IOException {
        Path hostile = folder.resolve("hostile.pt");
        byte[] pickle = "\u0080\2cos\nsystem\nX\4\0\0\0true\u0085R.".getBytes(StandardCharsets.ISO_8859_1);
        try (OutputStream out = Files.newOutputStream(hostile);
                ZipOutputStream zip = new ZipOutputStream(out)) {
            ZipEntry entry = new ZipEntry("archive/data.pkl");
            entry.setMethod(ZipEntry.STORED);
            entry.setSize(pickle.length);
            CRC32 crc = new CRC32();
            crc.update(pickle);
            entry.setCrc(crc.getValue());
            zip.putNextEntry(entry);
            zip.write(pickle);
        }
        mfm("inspect", hostile.toString()).succeeded();
        mfm("convert", hostile.toString(), path("harmless.safetensors")).failed("no known network");
    }
}
