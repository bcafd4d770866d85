package org.metaflowmaps.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.Noise;
import org.metaflowmaps.models.sampler.PosteriorSampler;
import org.metaflowmaps.models.sampler.RefinementSampler;
import org.metaflowmaps.models.sampler.SampleResult;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** The README's example: what stands between the markers here stands there, and runs. */
final class EmbeddingExampleTest {
    @TempDir
    private Path folder;

    @Test
    void theReadmesExampleRuns() throws IOException {
        assertEquals(0, Mfm.run("train", "quickstart", "steps=1", "model.transformer.hidden_size=12", "--out", folder.toString()));
        long before = NativeMemory.liveTensors();
        example(folder.resolve("checkpoint.safetensors"));
        assertEquals(before, NativeMemory.liveTensors());
    }

    private static void example(Path file) throws IOException {
        // example begins
        try (MetaFlowMap map = Networks.load(file, Device.CPU);
                RandomSource random = RandomSource.seeded(1);
                TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.inference()) {
            Condition condition = Condition.labelled(Torch.of(new long[] {0, 9})); // a T-shirt and an ankle boot
            SampleResult four = new RefinementSampler(map, 4).sample(Noise.of(random, map, 2), condition);
            Tensor images = four.samples(); // (2, 1, 28, 28), about in [-1, 1], by four.evaluations() of the network each

            Tensor time = Torch.of(new float[] {0.3f, 0.3f}); // both noised to t = 0.3
            Tensor noisy = random.normal(2, 1, 28, 28).lerp(images, time.reshape(2, 1, 1, 1));
            Context context = new Context(time, noisy, condition);
            Tensor draws = new PosteriorSampler(map, 1).sample(random, context, 16).samples(); // (2, 16, 1, 28, 28), one step each

            MemorySegment pixels = draws.contiguous().segment(); // the tensor's own memory, until the scope closes
            System.out.println(pixels.get(ValueLayout.JAVA_FLOAT, 0));
        }
        // example ends
    }

    @Test
    void theReadmeShowsThisCode() throws IOException {
        String readme = Files.readString(Path.of("..", "README.md"));
        String source = Files.readString(Path.of("src/test/java/org/metaflowmaps/cli/EmbeddingExampleTest.java"));
        String example = between(source, "// example begins\n", "        // example ends").stripTrailing().stripIndent();
        List<String> imports = source.lines().filter(line -> line.startsWith("import ") && !line.startsWith("import static ")
                && Pattern.compile("\\b" + line.substring(line.lastIndexOf('.') + 1, line.length() - 1) + "\\b").matcher(example).find())
                .toList();
        assertEquals(String.join("\n", imports) + "\n\n" + example, between(readme, "```java\n", "```").strip());
    }

    private static String between(String text, String begin, String end) {
        int from = text.indexOf(begin) + begin.length();
        return text.substring(from, text.indexOf(end, from));
    }
}
