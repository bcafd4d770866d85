package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.cli.Command.mfm;
import static org.metaflowmaps.cli.Command.tiny;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.bytedeco.pytorch.JitModule;
import org.bytedeco.pytorch.QualifiedName;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.cli.Command;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** {@code mfm evaluate samples}, on an almost untrained map. */
final class EvaluateSamplesTest {
    private static final JsonMapper JSON = JsonMapper.builder().build();

    @TempDir
    private static Path folder;

    private static String checkpoint = "";

    @BeforeAll
    static void train() {
        Path run = folder.resolve("trained");
        tiny("train", "quickstart", "--device", "cpu", "--out", run.toString()).succeeded();
        checkpoint = run.resolve("checkpoint.safetensors").toString();
    }

    private static Command run(String words) {
        return mfm(("evaluate samples --device cpu --images 400 " + words).split(" ", -1));
    }

    private static JsonNode json(Path file) throws IOException {
        return JSON.readTree(Files.readAllBytes(file));
    }

    @Test
    void samplesOfAMapAndTheirFileAreMeasuredAlike() throws IOException {
        long live = NativeMemory.liveTensors();
        Path archive = folder.resolve("samples.npz");
        Path map = folder.resolve("map.json");
        Path file = folder.resolve("file.json");
        String out = run(checkpoint + " --base " + checkpoint + " --count 40 --steps 1 --weights 1,1,1,1,1,1,1,1,1,1"
                        + " --save " + archive + " --out " + map)
                .succeeded()
                .out();
        assertTrue(out.contains("Fréchet") && out.contains("to weights") && out.contains("Ankle boot"), out);
        assertTrue(out.contains("evaluations: 1"), out);
        run(archive + " --out " + file).succeeded();
        JsonNode sets = json(map).path("sets");
        assertEquals(sets.path("samples"), sets.path("base"), "the same map and noise");
        assertEquals(40, sets.path("samples").path("n").asInt());
        for (String measure : List.of("frechet", "diversity", "agreement")) {
            JsonNode measured = sets.path("samples").path(measure);
            assertEquals(measured, json(file).path("sets").path("samples").path(measure), measure);
            assertTrue(measured.path("standard_error").isNumber() || measure.equals("diversity"), measure);
        }
        assertEquals(400, sets.path("real").path("n").asInt());
        assertTrue(sets.path("real").path("agreement").path("value").asDouble() > 0.7);
        assertEquals(10, sets.path("real").path("classes").size());
        assertEquals(live, NativeMemory.liveTensors());
    }

    @Test
    void anotherNetworkAndItsStatistics() throws IOException {
        Path module = folder.resolve("module.pt");
        try (TensorScope scope = TensorScope.open()) {
            Torch.zeros(1).close(); // loads libtorch
            try (QualifiedName name = new QualifiedName("Module");
                    JitModule made = new JitModule(name)) {
                made.define("def forward(self, x):\n  return x.flatten(1)[:, 300:316]\n");
                made.save(module.toString());
            }
        }
        Path statistics = folder.resolve("statistics.npz");
        Path out = folder.resolve("module.json");
        String line = checkpoint + " --count 30 --steps 1 --class 3,10 --features " + module;
        run(line + " --save-statistics " + statistics).succeeded();
        run(line + " --statistics " + statistics + " --out " + out).succeeded();
        JsonNode samples = json(out).path("sets").path("samples");
        assertEquals(0, samples.path("frechet").path("value").asDouble(), 1e-5);
        assertEquals(1, samples.path("classes").size());
        assertEquals("3, none in turn", json(out).path("labels").asString());
    }

    @Test
    void wishesThatDoNotFit() throws IOException {
        run("--count 3").failed("no samples were given", "--pretrained");
        run(checkpoint + " --pretrained").failed("give one of them");
        run(checkpoint + " --count 1").failed("--count 1");
        mfm("evaluate", "samples", checkpoint, "--images", "10001").failed("--images 10001");
        run(checkpoint + " --steps 0").failed("--steps 0");
        run(checkpoint + " --out x.txt").failed("x.txt", ".json");
        run(checkpoint + " --save x.txt").failed("x.txt", ".npz");
        run(checkpoint + " --statistics x.npz").failed("--features");
        run(checkpoint + " --weights 1,2").failed("--weights", "10");
        run(folder.resolve("missing.npz").toString()).failed("missing.npz");
        Path text = Files.writeString(folder.resolve("text.npz"), "no archive");
        run(text.toString()).failed("text.npz", "not a whole archive");
    }
}
