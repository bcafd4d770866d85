package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.cli.Command.mfm;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.cli.Command;
import org.metaflowmaps.cli.Mfm;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;

final class SelfcheckCommandTest {
    @TempDir
    private Path folder;

    private Path copy() throws IOException {
        Path copy = folder.resolve("tiny.safetensors");
        try (InputStream shipped = Mfm.class.getResourceAsStream("parity/tiny.safetensors")) {
            assertNotNull(shipped);
            Files.copy(shipped, copy);
        }
        return copy;
    }

    private static List<String> cases(String out) {
        return out.lines().filter(line -> line.startsWith("  ")).toList();
    }

    @Test
    void everyShippedCaseHasALineAndNoneFails() throws IOException {
        Command run = mfm("selfcheck", "--device", "cpu").succeeded();
        List<String> lines = cases(run.out());
        assertTrue(lines.stream().allMatch(line -> line.startsWith("  pass  ")), run.out());
        assertTrue(run.out().contains(lines.size() + " passed, 0 failed"), run.out());
        long inFiles = 0;
        try (SafetensorsFile file = SafetensorsFile.open(copy())) {
            for (String name : file.metadata().keySet().stream()
                    .filter(key -> key.startsWith("case/"))
                    .map(key -> key.substring(5))
                    .toList()) {
                inFiles++;
                assertTrue(lines.stream().anyMatch(line -> line.contains("  " + name + " ")), "no line for " + name);
            }
        }
        assertTrue(lines.size() > inFiles && inFiles > 10, run.out());
    }

    @Test
    void theSameCasesHoldInFloat64WithinSmallerBounds() {
        String out = mfm("selfcheck", "--device", "cpu", "--dtype", "float64")
                .succeeded()
                .out();
        assertTrue(out.contains("100 passed, 0 failed"), out);
        List<String> gradients = cases(out).stream()
                .filter(line -> line.matches("  pass  (diagonal|consistency)_.*"))
                .toList();
        assertEquals(16, gradients.size(), out);
        gradients.forEach(line -> assertTrue(line.contains("κ"), line));
        mfm("selfcheck", "--dtype", "float16").refused("float16", "float32", "float64");
    }

    /** Pixels of an image file are compared with an array. */
    @Test
    void imageFilesAreCompared() throws IOException {
        BufferedImage image = new BufferedImage(3, 2, BufferedImage.TYPE_INT_RGB);
        image.setRGB(1, 0, 0x0a0b0c);
        Files.createDirectories(folder.resolve("images"));
        ImageIO.write(image, "png", folder.resolve("images/a.png").toFile());
        for (int level : new int[] {12, 13}) {
            try (TensorScope scope = TensorScope.open()) {
                Tensor pixels = Torch.zeros(DType.UINT8, Device.CPU, 2, 3, 3);
                pixels.segment().set(ValueLayout.JAVA_BYTE, 3, (byte) 10);
                pixels.segment().set(ValueLayout.JAVA_BYTE, 4, (byte) 11);
                pixels.segment().set(ValueLayout.JAVA_BYTE, 5, (byte) level);
                Safetensors.write(
                        folder.resolve("images.safetensors"),
                        Map.of("generator", "imagefiles", "files", "{\"a.png\": \"three columns\"}"),
                        Map.of("a.png", pixels));
            }
            Command run = mfm("selfcheck", "--device", "cpu", "--fixtures", folder.toString());
            assertEquals(level - 12, run.code(), run.out());
            assertTrue(run.out().contains(level - 12 + " levels, at most 0"), run.out());
        }
    }

    /** One number of one output is changed by a thousandth of the output's size. */
    @Test
    void oneWrongNumberIsFound() throws IOException {
        Path file = copy();
        String output;
        long begin;
        int count;
        try (SafetensorsFile open = SafetensorsFile.open(file)) {
            SafetensorsFile.Entry entry = open.entries().values().stream()
                    .filter(candidate -> candidate.name().matches("case/flow_map/out/.*"))
                    .findFirst()
                    .orElseThrow();
            output = entry.name();
            assertEquals(DType.FLOAT64, entry.dtype());
            begin = entry.begin();
            count = (int) (entry.byteSize() / Double.BYTES);
        }
        byte[] bytes = Files.readAllBytes(file);
        ByteBuffer content = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        int at = (int) (8 + content.getLong(0) + begin);
        double squares = 0;
        for (int i = 0; i < count; i++) {
            squares += Math.pow(content.getDouble(at + i * Double.BYTES), 2);
        }
        content.putDouble(at, content.getDouble(at) + 1e-3 * Math.sqrt(squares));
        Files.write(file, bytes);
        Command run = mfm("selfcheck", "--device", "cpu", "--fixtures", folder.toString());
        assertEquals(1, run.code(), run.out());
        List<String> failed = cases(run.out()).stream()
                .filter(line -> line.startsWith("  FAIL  "))
                .toList();
        assertEquals(1, failed.size(), run.out());
        assertTrue(
                failed.getFirst().contains("flow_map")
                        && failed.getFirst().contains("1.0e-03")
                        && failed.getFirst().contains(output.substring(output.lastIndexOf('/') + 1)),
                failed.getFirst());
        assertTrue(run.out().contains(" 1 failed"), run.out());
    }

    /** Files of image networks, one of them only with the weights of another in a different layout. */
    @Test
    void casesOfImageNetworksAreRunComparedOrListed() throws IOException {
        for (String name : List.of("hps.safetensors", "hps-imscore.safetensors", "taesd.safetensors")) {
            try (InputStream file = Mfm.class.getResourceAsStream("/vision/" + name)) {
                assertNotNull(file);
                Files.copy(file, folder.resolve(name));
            }
        }
        String out = mfm("selfcheck", "--device", "cpu", "--fixtures", folder.toString())
                .succeeded()
                .out();
        assertTrue(out.contains("  pass  score_no_resize"), out);
        assertTrue(out.contains("  pass  hps-imscore.safetensors"), out);
        assertTrue(out.contains("  pass  decode"), out);
        assertTrue(out.contains("HPS_v2_tiny.pt                           not covered: the file is missing"), out);
        assertTrue(out.contains(" 0 failed, "), out);
        assertTrue(!out.contains("hps-imscore.safetensors on"), out);
    }

    /** FID and its companions, computed by pytorch-fid, torch-fidelity and ADM's evaluator. */
    @Test
    void distancesOfFeaturesAreThoseOfPublicEvaluators() throws IOException {
        try (InputStream file = Mfm.class.getResourceAsStream("/vision/metrics.safetensors")) {
            assertNotNull(file);
            Files.copy(file, folder.resolve("metrics.safetensors"));
        }
        for (String type : List.of("float32", "float64")) {
            String out = mfm("selfcheck", "--device", "cpu", "--fixtures", folder.toString(), "--dtype", type)
                    .succeeded()
                    .out();
            for (String name :
                    List.of("fid ", "fid_few_samples", "fid_shifted", "kid", "precision_recall", "inception_score")) {
                assertTrue(out.contains("  pass  " + name), out);
            }
            assertTrue(out.contains("7 passed, 0 failed\n"), out);
        }
    }

    @Test
    void onlyTheChosenCasesRun() {
        List<String> lines = cases(mfm("selfcheck", "--device", "cpu", "--only", "^radam")
                .succeeded()
                .out());
        assertTrue(
                !lines.isEmpty() && lines.stream().allMatch(line -> line.startsWith("  pass  radam")),
                lines.toString());
    }

    @Test
    void whatCannotBeCheckedIsAnError() throws IOException {
        mfm("selfcheck", "--only", "no such case").failed("no case matches 'no such case'");
        mfm("selfcheck", "--only", "(").failed("(");
        Path missing = folder.resolve("missing");
        mfm("selfcheck", "--fixtures", missing.toString()).failed(missing + " is not a folder");
        mfm("selfcheck", "--fixtures", folder.toString()).failed("holds no .safetensors file");
        byte[] whole = Files.readAllBytes(copy());
        Path cut = Files.write(folder.resolve("tiny.safetensors"), Arrays.copyOf(whole, whole.length / 2));
        mfm("selfcheck", "--fixtures", folder.toString()).failed(cut.toString());
    }
}
