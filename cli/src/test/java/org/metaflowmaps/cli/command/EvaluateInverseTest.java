package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.cli.Command.mfm;
import static org.metaflowmaps.cli.Command.tiny;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.cli.Command;
import org.metaflowmaps.runtime.NativeMemory;

/** {@code mfm evaluate inverse} as a user runs it. */
final class EvaluateInverseTest {
    @TempDir
    private Path folder;

    private Command evaluate(String map, String problem, String... more) {
        List<String> words = new ArrayList<>(List.of(
                "evaluate",
                "inverse",
                map,
                "--problem",
                problem,
                "--device",
                "cpu",
                "--out",
                folder.resolve("inverse.png").toString()));
        words.addAll(List.of(more));
        return mfm(words.toArray(String[]::new));
    }

    /** Returns the numbers of the last row: χ²/n of truth and samples, spread observed and hidden. */
    private static double[] means(String out) {
        String row =
                out.lines().filter(line -> line.startsWith(" mean")).findFirst().orElseThrow();
        return Arrays.stream(Pattern.compile(" +").split(row.strip(), -1))
                .skip(1)
                .mapToDouble(Double::parseDouble)
                .toArray();
    }

    @Test
    void everyProblemHasATableAndAPicture() throws IOException {
        Path run = folder.resolve("run");
        tiny("train", "quickstart", "--device", "cpu", "--out", run.toString()).succeeded();
        String map = run.resolve("checkpoint.safetensors").toString();
        long live = NativeMemory.liveTensors();
        for (String problem : List.of("inpaint:7,7,14,14,0.1", "downsample:4,0.1", "blur:1,0.1")) {
            String out = evaluate(map, problem, "--images", "2", "--count", "2", "--steps", "3", "--draws", "2")
                    .succeeded()
                    .out();
            double[] means = means(out);
            // The true images' χ²/n is that of the noise; the map is untrained and its samples are not near.
            assertEquals(1, means[0], 0.5, out);
            assertTrue(means[1] > 0 && means[2] > 0 && means[3] > 0, out);
            assertTrue(out.contains("Fashion-MNIST's test images"), out);
            assertTrue(ImageIO.read(folder.resolve("inverse.png").toFile()).getWidth() > 4 * 56, out);
        }
        assertEquals(live, NativeMemory.liveTensors());
        evaluate(map, "class:3").failed("--problem class:3", "inpaint");
        evaluate(map, "2*blur:1,0.1").failed("--problem 2*blur:1,0.1", "not one observation");
        evaluate(map, "blur:1,0.1", "--images", "0").failed("--images 0");
        evaluate(map, "blur:1,0.1", "--count", "1").failed("1 samples");
        mfm("evaluate", "inverse", map, "--device", "cpu", "--out", "x.jpg").failed("x.jpg", ".png");
        evaluate(map, "blu:1,0.1").refused("did you mean 'blur'");
    }

    /**
     * With the included map, samples explain the observations of 8 test images neither better nor worse than the truth
     * does, and differ where the observation leaves them free.
     */
    @ParameterizedTest
    @ValueSource(strings = {"inpaint:7,7,14,14,0.1", "downsample:2,0.1"})
    @Tag("soak")
    void samplesExplainTheObservation(String problem) {
        String out = evaluate("--pretrained", problem).succeeded().out();
        System.out.println(out);
        double[] means = means(out);
        assertEquals(1, means[1], 0.1, out);
        assertTrue(means[3] > 0.05 && means[3] > means[2], out);
    }
}
