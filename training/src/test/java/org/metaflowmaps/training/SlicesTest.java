package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.WeightingConfig;
import org.metaflowmaps.training.data.TrainingData;

/** A pass computed in parts gives the result of the whole, on any number of threads bit for bit. */
final class SlicesTest {
    @TempDir
    private Path folder;

    /** Prints the weights after a few steps; arguments: slices, folder. */
    static final class Child {
        private Child() {}

        public static void main(String[] arguments) throws IOException {
            System.out.println("weights "
                    + Arrays.hashCode(weights(runs(), Integer.parseInt(arguments[0]), Path.of(arguments[1]))));
        }
    }

    private static Runs runs() {
        Runs runs = new Runs();
        runs.batch = 11;
        runs.accumulate = 2;
        runs.consistencyShare = 0.5;
        runs.model = Runs.TRANSFORMER;
        runs.consistency = LossConfig.ConsistencyKind.MEAN_FLOW;
        runs.weighting = WeightingConfig.Kind.LEARNED;
        return runs;
    }

    private static float[] weights(Runs runs, int slices, Path folder) throws IOException {
        try (TrainingData data = runs.data();
                TrainingRun run =
                        new TrainingRun(runs.config().toBuilder().slices(slices).build(), data, Device.CPU, folder)) {
            run.initialise();
            for (int i = 0; i < 4; i++) {
                run.takeStep();
            }
            return run.map().parameters().values().toFloatArray();
        }
    }

    @ParameterizedTest
    @CsvSource({"MEAN_FLOW,LEARNED", "PSD,ADAPTIVE", "EULERIAN,LV", "NONE,LEARNED_LOG"})
    void slicesChangeOnlyRounding(LossConfig.ConsistencyKind consistency, WeightingConfig.Kind weighting)
            throws IOException {
        Runs runs = runs();
        runs.consistency = consistency;
        runs.weighting = weighting;
        long before = NativeMemory.liveTensors();
        float[] whole = weights(runs, 1, folder.resolve("whole"));
        float[] parts = weights(runs, 3, folder.resolve("parts"));
        assertEquals(before, NativeMemory.liveTensors());
        double difference = 0;
        double size = 0;
        for (int i = 0; i < whole.length; i++) {
            difference += (double) (whole[i] - parts[i]) * (whole[i] - parts[i]);
            size += (double) whole[i] * whole[i];
        }
        assertEquals(0, Math.sqrt(difference / size), 1e-6);
    }

    @Test
    void moreSlicesThanItemsAreFewer() throws IOException {
        Runs runs = runs();
        runs.batch = 2;
        weights(runs, 5, folder);
    }

    @Test
    void threadsDoNotChangeResults() throws IOException, InterruptedException {
        String here = "weights " + Arrays.hashCode(weights(runs(), 3, folder.resolve("here")));
        Process child = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "--enable-native-access=ALL-UNNAMED",
                        "-Dorg.metaflowmaps.threads=3",
                        "-cp",
                        System.getProperty("java.class.path"),
                        Child.class.getName(),
                        "3",
                        folder.resolve("child").toString())
                .redirectErrorStream(true)
                .start();
        String text = new String(child.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, child.waitFor(), text);
        assertTrue(text.contains(here), text + " but here " + here);
    }
}
