package org.metaflowmaps.examples;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.training.data.TrainingData;

/** Every example runs, prints the documented output and leaks no native memory. */
final class ExamplesTest {
    private static final Path ROOT = Path.of("..");
    private static final String PRETRAINED =
            "cli/src/main/resources/org/metaflowmaps/cli/pretrained/fashion-mnist.safetensors";

    @TempDir
    private Path folder;

    private final PrintStream terminal = System.out;
    private final ByteArrayOutputStream printed = new ByteArrayOutputStream();
    private long before;

    @BeforeEach
    void catchOutput() {
        before = NativeMemory.liveTensors();
        System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
    }

    @AfterEach
    void nothingIsLeft() {
        System.setOut(terminal);
        assertEquals(before, NativeMemory.liveTensors());
    }

    private String output() {
        return printed.toString(StandardCharsets.UTF_8).strip();
    }

    @Test
    void loadAndSample() throws IOException {
        LoadAndSample.main(new String[] {ROOT.resolve(PRETRAINED).toString()});
        double pixel = Double.parseDouble(output());
        assertTrue(Math.abs(pixel) < 2, output());
    }

    /** Points of noise are 0.68 from an arm on average; samples after these few steps 0.37 to 0.39. */
    @Test
    void ownData() throws IOException {
        OwnData.main(new String[] {folder.toString(), "steps=150", "batch=64", "optimizer.decay=50"});
        assertTrue(Files.exists(folder.resolve("checkpoint.safetensors")));
        double distance = Double.parseDouble(output().replaceFirst(".*: ", ""));
        assertTrue(distance < 0.5, output());
    }

    @Test
    void ownLoss() throws IOException {
        OwnLoss.main(new String[] {"200"});
        double[] losses = output().lines()
                .mapToDouble(line -> Double.parseDouble(line.replaceFirst(".* ", "")))
                .toArray();
        assertEquals(3, losses.length, output());
        assertTrue(losses[2] < 0.9 * losses[0], output());
    }

    /** Steered shirts are brighter on their left side than plain ones from the same noise. */
    @Test
    void steerByOwnReward() throws IOException {
        SteerByOwnReward.main(new String[] {ROOT.resolve(PRETRAINED).toString()});
        double[] rewards = output().lines()
                .filter(line -> !line.startsWith("first pixel"))
                .mapToDouble(line -> Double.parseDouble(line.replaceFirst(".* ", "")))
                .toArray();
        assertEquals(2, rewards.length, output());
        assertTrue(rewards[1] > rewards[0] + 0.05, output());
    }

    @Test
    void aStreamGivesTheSameItemsForTheSamePosition() {
        try (TensorScope scope = TensorScope.open();
                TrainingData data = new OwnData.Spirals(7)) {
            float[] all = data.batch(0, 6).items().toFloatArray();
            float[] later = data.batch(4, 2).items().toFloatArray();
            assertArrayEquals(Arrays.copyOfRange(all, 8, 12), later);
        }
    }

    @Test
    void aMissingArgumentIsNamed() {
        for (String message : List.of(
                String.valueOf(assertThrows(IllegalArgumentException.class, () -> LoadAndSample.main(new String[0]))
                        .getMessage()),
                String.valueOf(assertThrows(IllegalArgumentException.class, () -> OwnData.main(new String[0]))
                        .getMessage()),
                String.valueOf(assertThrows(IllegalArgumentException.class, () -> OwnLoss.main(new String[0]))
                        .getMessage()),
                String.valueOf(assertThrows(IllegalArgumentException.class, () -> SteerByOwnReward.main(new String[0]))
                        .getMessage()))) {
            assertTrue(message.startsWith("expected "), message);
        }
    }

    /** The README's Java code is that of {@link LoadAndSample}, with its imports. */
    @Test
    void theReadmeShowsLoadAndSample() throws IOException {
        String readme = Files.readString(ROOT.resolve("README.md"));
        String source = Files.readString(Path.of("src/main/java/org/metaflowmaps/examples/LoadAndSample.java"));
        String example = between(source, "// example begins\n", "        // example ends")
                .stripTrailing()
                .stripIndent();
        List<String> imports = source.lines()
                .filter(line -> line.startsWith("import ")
                        && Pattern.compile("\\b" + line.substring(line.lastIndexOf('.') + 1, line.length() - 1) + "\\b")
                                .matcher(example)
                                .find())
                .toList();
        assertEquals(
                String.join("\n", imports) + "\n\n" + example,
                between(readme, "```java\n", "```").strip());
    }

    private static String between(String text, String begin, String end) {
        int from = text.indexOf(begin) + begin.length();
        return text.substring(from, text.indexOf(end, from));
    }
}
