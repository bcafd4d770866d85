package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;
import static org.metaflowmaps.cli.Command.tiny;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.cli.Mfm;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.steering.particle.Budget;
import org.metaflowmaps.steering.value.SteeringNoise;

/** A stop ends a drawing within a step, and keeps what is done. */
final class SteeringStopTest {
    @TempDir
    private static Path folder;

    private static Path checkpoint = Path.of("");

    @BeforeAll
    static void train() {
        tiny("train", "quickstart", "--device", "cpu", "--out", folder.toString())
                .succeeded();
        checkpoint = folder.resolve("checkpoint.safetensors");
    }

    /** Returns inputs of 68 items, so of two batches. */
    private static SteeringInputs open() throws IOException {
        return new QuickstartSteering(checkpoint, List.of(), 1, 68, 1, Device.CPU).open(checkpoint, "3");
    }

    private static void steps(SamplingListener listener, int count, Runnable each) {
        for (int i = 1; i <= count; i++) {
            if (listener.isCancelled()) {
                throw new CancellationException("test");
            }
            each.run();
            listener.stepDone(i, count);
        }
    }

    private static SteeringInputs.Batch batch(SteeringNoise noise, boolean isWhole) {
        Tensor states = noise.normal(SteeringNoise.Use.START, 0);
        return new SteeringInputs.Batch(
                states, states.reshape(states.size(0), -1).sum(1), 7, isWhole);
    }

    /** Stopped in the second step of the second batch, it has the first batch, and does no third step. */
    @Test
    void doneBatchesAreKept() throws IOException {
        long live = NativeMemory.liveTensors();
        try (SteeringInputs inputs = open()) {
            int[] steps = {0};
            SteeringInputs.Drawn drawn = inputs.draw("test", 1, 1, 5, (noise, condition, listener) -> {
                steps(listener, 5, () -> {
                    if (++steps[0] == 7) {
                        inputs.stop();
                    }
                });
                return batch(noise, true);
            });
            assertEquals(7, steps[0]);
            assertEquals(64, drawn.rewards().length);
            assertEquals(64, drawn.samples().size(0));
            assertEquals(7, drawn.evaluations());
            assertEquals(Optional.of("stopped after 64 of 68 samples"), drawn.stopped());
            try (TensorScope scope = TensorScope.open()) {
                assertTrue(inputs.picture(drawn, null).draw(1).getWidth() > 64 * 28);
                Tensor sums = drawn.samples().reshape(64, -1).sum(1);
                assertArrayEquals(sums.toDoubleArray(), drawn.rewards(), 0);
            }
        }
        assertEquals(live, NativeMemory.liveTensors());
    }

    @Test
    void searchesGiveTheBestUntilThen() throws IOException {
        try (SteeringInputs inputs = open()) {
            SteeringInputs.Drawn drawn = inputs.draw("test", 1, 1, 5, (noise, condition, listener) -> {
                inputs.stop();
                return batch(noise, false);
            });
            assertEquals(
                    Optional.of("stopped after 64 of 68 samples, of which the last 64 are the best that was found until"
                            + " then"),
                    drawn.stopped());
        }
    }

    @Test
    void withoutAResultNothingIsWritten() throws IOException {
        try (SteeringInputs inputs = open()) {
            StoppedException thrown = assertThrows(
                    StoppedException.class,
                    () -> inputs.draw("test", 1, 1, 5, (noise, condition, listener) -> {
                        steps(listener, 5, inputs::stop);
                        return batch(noise, true);
                    }));
            assertTrue(String.valueOf(thrown.getMessage()).contains("nothing was written"), thrown.getMessage());
        }
    }

    /** Seconds are of the whole run: each batch has the share of its items. */
    @Test
    void secondsAreSharedAmongBatches() throws IOException {
        try (SteeringInputs inputs = open()) {
            List<Budget> shares = new ArrayList<>();
            inputs.draw("test", 1, 1, 5, new Budget(9, 6800), (noise, condition, budget, listener) -> {
                shares.add(budget);
                return batch(noise, true);
            });
            assertEquals(2, shares.size());
            assertEquals(9, shares.getFirst().evaluations());
            assertEquals(6400, shares.getFirst().seconds(), 60);
            assertEquals(6800, shares.getLast().seconds(), 60, "the first took no time");
            shares.clear();
            inputs.draw("test", 1, 1, 5, Budget.ofSeconds(1e-9), (noise, condition, budget, listener) -> {
                shares.add(budget);
                return batch(noise, true);
            });
            assertTrue(shares.getLast().seconds() < 1e-9, "every batch may take its least steps");
        }
    }

    /** A real signal: exit code 0, a message, and a file with the samples so far. */
    @Test
    @DisabledOnOs(value = OS.WINDOWS, disabledReason = "Windows has no signal that lets a process end by itself")
    void aSignalEndsWithTheSamplesSoFar() throws IOException, InterruptedException {
        Path out = folder.resolve("stopped.safetensors");
        Path output = folder.resolve("output");
        Process child = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "--enable-native-access=ALL-UNNAMED",
                        "--sun-misc-unsafe-memory-access=allow",
                        "-XX:TieredStopAtLevel=1",
                        "-Xmx256m",
                        "-Dorg.metaflowmaps.threads=1",
                        "-cp",
                        System.getProperty("java.class.path"),
                        Mfm.class.getName(),
                        "search",
                        checkpoint.toString(),
                        "--reward=brightness",
                        "--steps=100000",
                        "--class=3",
                        "--count=2",
                        "--out=" + out,
                        "--device=cpu")
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
        try {
            while (!Files.readString(output).contains("mean reward")) {
                if (child.waitFor(5, TimeUnit.MILLISECONDS)) {
                    fail("the run ended by itself: " + Files.readString(output));
                }
            }
            // The map is loaded and the search begins; it would last for minutes.
            assertFalse(child.waitFor(2, TimeUnit.SECONDS), "the search is still running");
            child.destroy();
            assertTrue(child.waitFor(1, TimeUnit.MINUTES), "a step takes milliseconds");
        } finally {
            child.destroyForcibly();
        }
        String said = Files.readString(output);
        assertEquals(0, child.exitValue(), said);
        assertTrue(said.contains("stopped after 2 of 2 samples, of which the last 2 are the best"), said);
        try (SafetensorsFile file = SafetensorsFile.open(out);
                TensorScope scope = TensorScope.open()) {
            assertEquals(2, Safetensors.view(file, "rewards").size(0));
            assertTrue(String.valueOf(file.metadata().get("stopped")).startsWith("stopped after 2 of 2"));
            assertEquals(
                    1,
                    Safetensors.view(file, "images")
                            .abs()
                            .amax(0, 1, 2, 3)
                            .isFinite()
                            .item());
        }
    }
}
