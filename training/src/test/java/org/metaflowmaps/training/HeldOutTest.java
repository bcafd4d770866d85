package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.common.collect.Maps;
import com.google.common.primitives.Floats;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.training.data.DamagedItemException;
import org.metaflowmaps.training.data.ImageData;
import org.metaflowmaps.training.data.ImageFolder;
import org.metaflowmaps.training.data.LabelledImages;
import org.metaflowmaps.training.data.Loader;
import org.metaflowmaps.training.data.Reading;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.metrics.MetricsLog;

/** Evaluations by {@code evaluate_every} during training. */
class HeldOutTest {
    /** The beginning of a PNG of one pixel; TensorBoard's writer reads no more. */
    private static final byte[] PNG = {
        (byte) 0x89,
        'P',
        'N',
        'G',
        '\r',
        '\n',
        0x1a,
        '\n',
        0,
        0,
        0,
        13,
        'I',
        'H',
        'D',
        'R',
        0,
        0,
        0,
        1,
        0,
        0,
        0,
        1,
        8,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0
    };

    private static final Set<String> MEASURED =
            Set.of("held_out/diagonal", "loss/diagonal", "loss/consistency", "gradient_norm");

    @TempDir
    private Path folder = Path.of("");

    private record Result(List<Float> weights, List<MetricsLog.Entry> metrics, String events) {}

    private Result train(String name, long every, List<float[]> shown) throws IOException {
        Runs runs = new Runs();
        runs.model = Runs.transformer(2);
        runs.steps = 4;
        runs.logEvery = 1;
        runs.evaluateEvery = every;
        byte[] pixels = new byte[9 * 16];
        new Random(3).nextBytes(pixels);
        LabelledImages images =
                new LabelledImages(pixels, 1, 4, 4, new byte[] {0, 1, 2, 1, 0, 2, 1, 0, 1}, List.of("a", "b", "c"));
        Path run = folder.resolve(name);
        try (Loader data = new Loader(new ImageData(images), 1, Reading.of(0).holdingOut(3), Device.CPU);
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, run);
                TensorScope scope = TensorScope.open()) {
            assertEquals(3, data.heldOut());
            trainer.pictures((item, columns, labels, rows) -> {
                assertEquals(Shape.of(1, 4, 4), item);
                assertEquals(List.of("clean", "x_t", "draw 1", "draw 2", "draw 3", "draw 4"), columns);
                assertEquals(labels.size(), rows.size());
                shown.addAll(rows);
                return PNG.clone();
            });
            trainer.run();
            try (Stream<Path> files = Files.list(run)) {
                Path events = files.filter(
                                file -> String.valueOf(file.getFileName()).startsWith("events."))
                        .findFirst()
                        .orElseThrow();
                return new Result(
                        Floats.asList(
                                trainer.map().parameters().values().detach().toFloatArray()),
                        MetricsLog.read(run.resolve("metrics.jsonl")),
                        Files.readString(events, StandardCharsets.ISO_8859_1));
            }
        }
    }

    @Test
    void looksAtTheMapDoNotChangeItsTraining() throws IOException {
        long before = NativeMemory.liveTensors();
        List<float[]> shown = new ArrayList<>();
        Result plain = train("plain", 0, shown);
        assertTrue(shown.isEmpty());
        Result looked = train("looked", 2, shown);
        assertEquals(plain.weights, looked.weights);
        for (int i = 0; i < 4; i++) {
            Map<String, Double> values = looked.metrics.get(i).values();
            assertEquals(plain.metrics.get(i).values().get("loss/diagonal"), values.get("loss/diagonal"));
            assertEquals(i % 2 == 1, values.containsKey("held_out/diagonal"));
            assertFalse(plain.metrics.get(i).values().containsKey("held_out/diagonal"));
        }
        // Two evaluations of three held-out items at three times, each with a clean image, its noisy state and four
        // draws.
        assertEquals(2 * 3 * 3, shown.size());
        assertTrue(shown.stream().allMatch(row -> row.length == 6 * 16));
        assertTrue(looked.events.contains("held_out/diagonal")
                && looked.events.contains("posterior")
                && looked.events.contains("IHDR"));
        assertTrue(plain.events.contains("model/parameters") && plain.events.contains("memory/"));
        assertFalse(plain.events.contains("IHDR"));
        assertEquals(before, NativeMemory.liveTensors());
    }

    private List<Map<String, Double>> looks(String name, Integer... stops) throws IOException {
        Runs runs = new Runs();
        runs.model = Runs.transformer(2);
        runs.steps = 7;
        runs.logEvery = 5;
        runs.evaluateEvery = 2;
        byte[] pixels = new byte[9 * 16];
        new Random(3).nextBytes(pixels);
        LabelledImages images =
                new LabelledImages(pixels, 1, 4, 4, new byte[] {0, 1, 2, 1, 0, 2, 1, 0, 1}, List.of("a", "b", "c"));
        Path run = folder.resolve(name);
        List<Integer> left = new ArrayList<>(List.of(stops));
        for (boolean done = false; !done; ) {
            try (Loader data =
                            new Loader(new ImageData(images), 1, Reading.of(0).holdingOut(3), Device.CPU);
                    TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, run)) {
                if (left.size() < stops.length) {
                    trainer.resume();
                }
                trainer.pictures((item, columns, labels, rows) -> {
                    if (left.remove(Integer.valueOf((int) trainer.step()))) {
                        trainer.stop();
                    }
                    return PNG.clone();
                });
                done = trainer.run();
            }
        }
        List<MetricsLog.Entry> log = MetricsLog.read(run.resolve(TrainingRun.METRICS));
        assertEquals(
                List.of(2L, 4L, 5L, 6L, 7L),
                log.stream().map(MetricsLog.Entry::step).toList());
        return log.stream()
                .map(entry -> Maps.filterKeys(entry.values(), MEASURED::contains))
                .toList();
    }

    /** An evaluation's numbers are written although the run stops before the next line of {@code log_every}. */
    @Test
    void aStopAfterALookLosesNothing() throws IOException {
        List<Map<String, Double>> whole = looks("whole");
        assertEquals(
                List.of(true, true, false, true, false),
                whole.stream()
                        .map(values -> values.containsKey("held_out/diagonal"))
                        .toList());
        assertEquals(whole, looks("stopped", 2, 4, 6));
    }

    /** A held-out item that cannot be read ends the run after its step's line is written. */
    @Test
    void aFailingLookLeavesItsStepsLineAndACheckpoint() throws IOException {
        Runs runs = new Runs();
        runs.steps = 3;
        runs.evaluateEvery = 2;
        try (TrainingData whole = runs.data();
                TrainingData data = recorded(whole, new ArrayList<>());
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            Refusal.assertRefused(
                    TrainingException.class, trainer::run, "step 2: x.png is damaged", "checkpoint.safetensors");
        }
        assertEquals(
                List.of(1L, 2L),
                MetricsLog.read(folder.resolve(TrainingRun.METRICS)).stream()
                        .map(MetricsLog.Entry::step)
                        .toList());
    }

    /** Items for a picture are those of the first batch, and reading them does not change the stream. */
    @ParameterizedTest
    @ValueSource(ints = {0, 2})
    void picturesWithoutHeldOutItemsLeaveTheStreamAlone(int workers) throws IOException {
        Path classes = folder.resolve("data");
        for (int i = 0; i < 12; i++) {
            Path file = Files.createDirectories(classes.resolve("abc".substring(i % 3, i % 3 + 1)))
                    .resolve(i + ".png");
            BufferedImage image = new BufferedImage(4, 4, BufferedImage.TYPE_BYTE_GRAY);
            image.getRaster().setSample(i % 4, i / 4, 0, 20 * i);
            ImageIO.write(image, "png", file.toFile());
        }
        Files.writeString(classes.resolve("a/0.png"), "damaged");
        Reading skip = new Reading(workers, 0, false, true, 0.5);
        try (Loader data = new Loader(new ImageFolder(classes, 4, 1), 5, skip, Device.CPU);
                Loader whole = new Loader(new ImageFolder(classes, 4, 1), 5, skip, Device.CPU);
                TensorScope scope = TensorScope.open()) {
            assertArrayEquals(
                    whole.batch(0, 12).items().toFloatArray(),
                    data.examples(12).items().toFloatArray());
            assertEquals(1, whole.replaced());
            assertEquals(0, data.replaced());
        }
        Runs runs = new Runs();
        runs.model = Runs.transformer(2);
        runs.steps = 6;
        runs.evaluateEvery = 1;
        List<Long> positions = new ArrayList<>();
        List<float[]> shown = new ArrayList<>();
        try (Loader files = new Loader(new ImageFolder(classes, 4, 1), 5, skip, Device.CPU);
                TrainingData data = recorded(files, positions);
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder.resolve("run"))) {
            trainer.pictures((item, columns, labels, rows) -> {
                shown.addAll(rows);
                return PNG.clone();
            });
            trainer.run();
            assertEquals(2, files.replaced(), "once in each of two epochs");
        }
        assertEquals(List.of(0L, 4L, 8L, 12L, 16L, 20L), positions, "no batch but training's");
        assertEquals(6 * 4 * 3, shown.size());
    }

    /** Data that records the positions of its batches; the held-out item of a mixture is damaged. */
    private static TrainingData recorded(TrainingData whole, List<Long> positions) {
        return new TrainingData() {
            @Override
            public Shape itemShape() {
                return whole.itemShape();
            }

            @Override
            public int classes() {
                return whole.classes();
            }

            @Override
            public Batch batch(long position, int count) {
                positions.add(position);
                return whole.batch(position, count);
            }

            @Override
            public int heldOut() {
                return whole.itemShape().dim() == 1 ? 1 : 0;
            }

            @Override
            public Batch heldOut(int from, int count) {
                throw new UncheckedIOException("x.png is damaged", new DamagedItemException("x.png is damaged"));
            }

            @Override
            public @Nullable Batch examples(int count) {
                return whole.examples(count);
            }

            @Override
            public void close() {
                // The caller closes the data itself.
            }
        };
    }
}
