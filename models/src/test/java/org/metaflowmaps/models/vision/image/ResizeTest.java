package org.metaflowmaps.models.vision.image;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * Compares with results of Pillow 12.3.0, PyTorch 2.13, torchvision 0.28, clean-fid 0.1.35, guided-diffusion and
 * TensorFlow 1's rule ({@code resize.safetensors}); those of libraries with floating-point results are in float64.
 */
final class ResizeTest {
    /** The largest error relative to the largest value; float32 attains 3e-6 for gradients. */
    private static final double BOUND = 1e-5;

    @TempDir
    private Path folder = Path.of("");

    private SafetensorsFile file;
    private String name = "";
    private JsonNode settings = JsonMapper.builder().build().createObjectNode();

    @BeforeEach
    void open() throws IOException {
        try (InputStream in = ResizeTest.class.getResourceAsStream("resize.safetensors")) {
            Path copy = folder.resolve("resize.safetensors");
            Files.write(copy, Objects.requireNonNull(in).readAllBytes());
            file = SafetensorsFile.open(copy);
        }
    }

    @AfterEach
    void close() {
        file.close();
    }

    private Tensor tensor(String part) {
        return file.view("case/" + name + "/" + part);
    }

    private ByteImage image() {
        Tensor pixels = tensor("in/image");
        int channels = pixels.dim() == 2 ? 1 : (int) pixels.size(2);
        return ByteImage.ofPixels(bytes(pixels), (int) pixels.size(0), (int) pixels.size(1), channels);
    }

    private static byte[] bytes(Tensor tensor) {
        long[] levels = tensor.toLongArray();
        byte[] bytes = new byte[levels.length];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) levels[i];
        }
        return bytes;
    }

    private void assertLevels(String part, ByteImage result) {
        Tensor expected = tensor("out/" + part);
        assertEquals(expected.size(0), result.height(), name);
        assertEquals(expected.size(1), result.width(), name);
        ByteImage image = ByteImage.ofPixels(bytes(expected), result.height(), result.width(), result.channels());
        assertArrayEquals(image.bytes(), result.bytes(), name + "/" + part);
    }

    private void assertNear(String part, double[] result, double bound) {
        double[] expected = tensor("out/" + part).toDoubleArray();
        assertEquals(expected.length, result.length, name);
        double error = 0;
        double largest = 0;
        for (int i = 0; i < result.length; i++) {
            error = Math.max(error, Math.abs(result[i] - expected[i]));
            largest = Math.max(largest, Math.abs(expected[i]));
        }
        assertTrue(error <= bound * largest, name + "/" + part + ": " + error / largest);
    }

    private int number(String key) {
        return settings.get(key).intValue();
    }

    private Filter filter() {
        return Filter.valueOf(settings.get("filter").stringValue().toUpperCase(Locale.ROOT));
    }

    @Test
    void resultsAreThoseOfTheLibraries() {
        int count = 0;
        for (String key : file.metadata().keySet()) {
            if (key.startsWith("case/")) {
                name = key.substring(5);
                settings = JsonMapper.builder()
                        .build()
                        .readTree(Objects.requireNonNull(file.metadata().get(key)));
                try (TensorScope scope = TensorScope.open()) {
                    assertCase(settings.get("operation").stringValue());
                    assertTrue(scope.size() > 0);
                }
                count++;
            }
        }
        assertEquals(46, count);
    }

    private void assertCase(String operation) {
        switch (operation) {
            case "pillow" ->
                settings.get("filters").forEach(each -> {
                    Filter filter = Filter.valueOf(each.stringValue().toUpperCase(Locale.ROOT));
                    assertLevels(each.stringValue(), image().resize(number("height"), number("width"), filter));
                });
            case "pillow_float" -> pillowFloat();
            case "clean_fid" -> {
                Tensor result = image().floats()
                        .cleanFid(number("height"), number("width"))
                        .tensor();
                assertNear("result", result.permute(1, 2, 0).contiguous().toDoubleArray(), 0);
            }
            case "torch" -> {
                String mode = settings.get("mode").stringValue().toUpperCase(Locale.ROOT)
                        + (settings.get("antialias").booleanValue() ? "_ANTIALIASED" : "");
                Tensor images = tensor("in/image").clone().requiresGrad_(true);
                differentiated(
                        images,
                        TensorResize.resize(
                                images, number("height"), number("width"), TensorResize.Mode.valueOf(mode)));
            }
            case "tensorflow1" -> {
                Tensor result = TensorResize.tensorflow1(tensor("in/image"), number("height"), number("width"));
                assertNear("result", result.toDoubleArray(), 6e-5);
            }
            case "torchvision" -> {
                ByteImage image = image();
                CropGeometry geometry = CropGeometry.torchvision(image.height(), image.width(), number("size"));
                assertLevels("resized", image.resize((int) geometry.height(), (int) geometry.width(), filter()));
                assertLevels("result", image.torchvisionCrop(number("size"), filter()));
            }
            case "torchvision_tensor" -> {
                Tensor images = tensor("in/image").clone().requiresGrad_(true);
                differentiated(
                        images,
                        TensorResize.torchvisionCrop(images, number("size"), TensorResize.Mode.BICUBIC_ANTIALIASED));
            }
            case "adm_crop" -> {
                ByteImage result = image().admCrop(number("size"));
                assertLevels("result", result);
                double[] scaled = tensor("out/result").toDoubleArray();
                for (int i = 0; i < scaled.length; i++) {
                    scaled[i] = scaled[i] / 127.5 - 1;
                }
                assertNear("scaled", scaled, 1e-6);
            }
            default -> throw new IllegalStateException("unknown operation " + operation);
        }
    }

    private void pillowFloat() {
        Tensor pixels = tensor("in/image");
        FloatImage image =
                FloatImage.of(new float[][] {pixels.toFloatArray()}, (int) pixels.size(0), (int) pixels.size(1));
        for (JsonNode each : settings.get("filters")) {
            Filter filter = Filter.valueOf(each.stringValue().toUpperCase(Locale.ROOT));
            assertNear(
                    each.stringValue(),
                    image.resize(number("height"), number("width"), filter)
                            .tensor()
                            .toDoubleArray(),
                    0);
        }
    }

    private void differentiated(Tensor images, Tensor result) {
        assertNear("result", result.detach().toDoubleArray(), BOUND);
        Tensor gradient = Autograd.gradients(result, List.of(images), tensor("in/cotangent"))
                .getFirst();
        assertNear("gradient", gradient.toDoubleArray(), BOUND);
    }

    /** Pillow resizes columns first if the height is over 100 times the width and shrinks. */
    @Test
    void columnsOfThinImagesComeFirst() {
        byte[] levels = new byte[404];
        for (int y = 0; y < 202; y++) {
            levels[2 * y] = (byte) (y < 100 ? 255 : 30);
            levels[2 * y + 1] = (byte) (y % 3 == 0 ? 200 : 0);
        }
        byte[] expected = {(byte) 255, (byte) 211, 111, 34, (byte) 152, 122, 83, 53, 1, 24, 54, 77};
        ByteImage image = ByteImage.of(new byte[][] {levels}, 202, 2);
        assertArrayEquals(expected, image.resize(3, 4, Filter.LANCZOS).bytes());
    }

    /** Only the remaining square of a thin image is computed. */
    @Test
    void thinImagesNeedNoMemoryForTheirLongSide() {
        byte[] levels = new byte[1_000_000];
        levels[499_999] = (byte) 255;
        levels[500_000] = (byte) 255;
        ByteImage image = ByteImage.of(new byte[][] {levels}, 1, levels.length).admCrop(4096);
        assertEquals(4096, image.width());
        assertEquals((byte) 255, image.bytes()[2048]);
        ByteImage tall = ByteImage.of(new byte[][] {levels}, levels.length, 1);
        assertArrayEquals(transposed(image.bytes(), 4096), tall.admCrop(4096).bytes());
        Refusal.illegalArgument("needs 4294967296 pixels", () -> tall.resize(1 << 16, 1 << 16, Filter.BOX));
    }

    private static byte[] transposed(byte[] square, int size) {
        byte[] result = new byte[square.length];
        for (int i = 0; i < square.length; i++) {
            result[i % size * size + i / size] = square[i];
        }
        return result;
    }

    @Test
    void wrongSizesAreRefused() {
        ByteImage image = ByteImage.of(new byte[1][6], 2, 3);
        Refusal.illegalArgument("new size 0 x 3: expected 1 to", () -> image.resize(0, 3, Filter.BOX));
        Refusal.illegalArgument("size 0", () -> image.admCrop(0));
        Refusal.illegalArgument("size -1", () -> image.torchvisionCrop(-1, Filter.BICUBIC));
        Refusal.illegalArgument("6 bytes, expected 2 x 2", () -> ByteImage.of(new byte[1][6], 2, 2));
        Refusal.illegalArgument("expected their product", () -> ByteImage.ofPixels(new byte[6], 2, 2, 1));
        Refusal.illegalArgument("6 numbers, expected 2 x 2", () -> FloatImage.of(new float[1][6], 2, 2));
        Refusal.illegalArgument("does not lie in an image", () -> new CropGeometry(4, 4, 1, 0, 4));
        try (TensorScope scope = TensorScope.open()) {
            Tensor flat = Torch.zeros(2, 3);
            assertEquals(1, scope.size());
            Refusal.illegalArgument("expected (batch", () -> TensorResize.tensorflow1(flat, 2, 2));
        }
    }
}
