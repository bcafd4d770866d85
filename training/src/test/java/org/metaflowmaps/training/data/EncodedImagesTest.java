package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.TensorScope;

/** Images that an autoencoder encodes while they are read. */
final class EncodedImagesTest {
    @TempDir
    private static Path folder = Path.of("");

    private static EncodingFolder files;

    @BeforeAll
    static void write() throws IOException {
        files = EncodingFolder.write(folder);
    }

    private static DataConfig.Builder config() {
        return DataConfig.builder()
                .kind(DataConfig.Kind.IMAGES)
                .folder(files.images().toString())
                .vae(files.vae().toString())
                .size(EncodingFolder.SIZE)
                .onError(DataConfig.OnError.SKIP)
                .skipAtMost(1);
    }

    private static Loader open(DataConfig.Builder builder) throws IOException {
        return (Loader) Datasets.open(builder.build(), 9, Device.CPU);
    }

    /** A set of one image: its items are draws of the image's posterior. */
    @Test
    void itemsAreDrawsOfThePosterior() throws IOException {
        long live = NativeMemory.liveTensors();
        Path one = Files.createDirectories(folder.resolve("one/class")).resolve("01.png");
        Files.copy(files.images().resolve("class b/01.png"), one);
        double[][] moments = files.moments("class b/01.png", false);
        int draws = 200;
        try (Loader data = open(config().folder(folder.resolve("one").toString()));
                TensorScope scope = TensorScope.open()) {
            float[] items = data.batch(0, draws).items().toFloatArray();
            for (int j = 0; j < 16; j++) {
                double mean = 0;
                double square = 0;
                for (int i = 0; i < draws; i++) {
                    double error = items[i * 16 + j] / 0.18215 - moments[0][j];
                    mean += error / draws;
                    square += error * error / draws;
                }
                double deviation = moments[1][j];
                assertEquals(0, mean, 5 * deviation / Math.sqrt(draws));
                assertEquals(deviation * deviation, square, 5 * deviation * deviation * Math.sqrt(2.0 / draws));
            }
        }
        assertEquals(live, NativeMemory.liveTensors());
    }

    @Test
    void batchesDependOnTheirPositionAlone() throws IOException {
        try (Loader data = open(config());
                Loader more = open(config().workers(3));
                TensorScope scope = TensorScope.open()) {
            assertEquals(Shape.of(4, 2, 2), data.itemShape());
            assertEquals(List.of("class a", "class b", "class c"), data.classNames());
            assertEquals(LatentScaling.of(0.18215, 0), data.latents().orElseThrow());
            float[] first = data.batch(0, 5).items().toFloatArray();
            more.batch(5, 5);
            assertArrayEquals(first, more.batch(0, 5).items().toFloatArray());
            assertFalse(data.batch(0, 1).items().requiresGrad());
            // A step's autocast does not reach the encoder.
            try (Autocast narrow = Autocast.bfloat16(Device.Type.CPU)) {
                assertArrayEquals(first, data.batch(0, 5).items().toFloatArray());
            }
        }
    }

    /** Pixels are mirrored, so the other half of a batch is the same. */
    @Test
    void pixelsAreMirroredBeforeTheyAreEncoded() throws IOException {
        try (Loader plain = open(config());
                Loader flipped = open(config().flip(true));
                TensorScope scope = TensorScope.open()) {
            float[] a = plain.batch(0, 12).items().toFloatArray();
            float[] b = flipped.batch(0, 12).items().toFloatArray();
            Flips flips = new Flips(true, 9);
            for (int i = 0; i < 12; i++) {
                float[] x = Arrays.copyOfRange(a, i * 16, i * 16 + 16);
                float[] y = Arrays.copyOfRange(b, i * 16, i * 16 + 16);
                double distance = 0;
                for (int j = 0; j < 16; j++) {
                    distance = Math.max(distance, Math.abs(x[j] - y[j]));
                }
                assertEquals(flips.at(i), distance > 1e-5, "item " + i);
            }
        }
    }

    @Test
    void settingsThatDoNotFitAreRefused() {
        long live = NativeMemory.liveTensors();
        Refusal.assertRefused(() -> open(config().size(12)).close(), "data.size is 12", "a multiple of 8");
        Refusal.assertRefused(() -> open(config().scale(1.0)).close(), "data.scale is 1.0", "0.18215");
        Refusal.assertRefused(() -> config().channels(1).build(), "data.channels is 1, expected 3");
        Refusal.assertRefused(() -> config().kind(DataConfig.Kind.LATENTS).build(), "data.vae", "is not images");
        Refusal.assertRefused(
                IOException.class,
                () -> open(config().vae(files.images().toString())).close(),
                "images");
        assertEquals(live, NativeMemory.liveTensors());
    }
}
