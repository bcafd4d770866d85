package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.cli.Command.mfm;
import static org.metaflowmaps.cli.Command.tiny;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.cli.report.ImageGrid;
import org.metaflowmaps.cli.report.Text;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.training.metrics.MetricsLog;

/** {@code mfm report}. */
final class ReportCommandTest {
    @TempDir
    private Path folder;

    /** Writes a run whose independent score rises to a step and then falls. */
    private Path run(String name, double strength, int best) throws IOException {
        Path run = Files.createDirectories(folder.resolve(name));
        try (MetricsLog log = MetricsLog.open(run.resolve("metrics.jsonl"), 0)) {
            for (int step = 10; step <= 100; step += 10) {
                Map<String, Double> values = new LinkedHashMap<>();
                values.put("loss/fine_tune", 1.0 / step);
                values.put("learning_rate", 1e-3);
                values.put("drift_distance", step * strength);
                if (step % 20 == 0) {
                    values.put("average/independent_reward", -Math.abs(step - best) / 100.0);
                    values.put("average/independent_reward_se", 0.01);
                    values.put("base/independent_reward", -2.0);
                    values.put("average/reward", step / 100.0);
                    values.put("average/reward_se", 0.01);
                    values.put("average/frechet_to_base", step * 0.5);
                    values.put("average/diversity", 10 - step * 0.01);
                    values.put("base/diversity", 10.0);
                }
                log.append(new MetricsLog.Entry(step, step, values));
            }
        }
        Files.writeString(
                run.resolve("finetune.yaml"),
                "kind: fine-tuning\nreward: class:3\nlambda: " + strength + "\nsettings: {steps: 100}\n");
        return run;
    }

    private static String page(Path file) throws IOException {
        return Files.readString(file);
    }

    @Test
    void theTurnIsNamed() throws IOException {
        Path run = run("large", 30, 60);
        byte[] picture = ImageGrid.png(Shape.of(1, 2, 2), List.of("a"), List.of("row"), List.of(new float[4]));
        Files.createDirectories(run.resolve("samples"));
        for (int step = 20; step <= 400; step += 20) {
            Files.write(run.resolve("samples/step-%09d.png".formatted(step)), picture);
        }
        String out = mfm("report", run.toString()).succeeded().out();
        Path file = run.resolve("run-report.html");
        assertTrue(out.endsWith(file + System.lineSeparator()), out);
        assertTrue(out.contains("| large | 30 | best | 60 | 0.600 ± 0.010 | 0.000 ± 0.010 |"), out);
        assertTrue(out.contains("turned there: from step 80 on") && out.contains("The base's is -2.0000."), out);
        String page = page(file);
        assertTrue(page.contains("best at step 60") && page.contains("from step 80 on"), "the turn");
        assertTrue(page.contains("Step 60, the best by the independent score"), "the picture");
        assertFalse(page.contains("still going on"), "100 of 100 steps");
        assertTrue(page.contains("lambda: 30"), "the configuration");
        int images = page.split("<img ", -1).length - 1;
        assertEquals(Text.available() ? 8 + 4 + 3 : 8, images, "pictures, evaluations, training and weights");
    }

    @Test
    void aKilledRunIsReported() throws IOException {
        Path run = run("killed", 1, 100);
        Path log = run.resolve("metrics.jsonl");
        List<String> lines = Files.readAllLines(log);
        Files.write(log, lines.subList(0, 5));
        Files.writeString(log, "{\"step\":60,\"seco", StandardOpenOption.APPEND);
        Path out = folder.resolve("pages/killed.html");
        String text = mfm("report", run.toString(), "--out", out.toString())
                .succeeded()
                .out();
        assertTrue(text.contains("That is the last evaluation"), text);
        assertTrue(page(out).contains("50 of 100; the run is still going on, or was stopped"), "unfinished");
    }

    @Test
    void runsAreCompared() throws IOException {
        Path out = folder.resolve("comparison.html");
        String text = mfm(
                        "report",
                        run("small", 1, 100).toString(),
                        run("middle", 4, 60).toString(),
                        run("large", 30, 20).toString(),
                        "--out",
                        out.toString())
                .succeeded()
                .out();
        assertTrue(text.contains("| middle | 4 | last | 100 |") && text.contains("at 20, below from 40 on"), text);
        String page = page(out);
        assertTrue(page.contains("Comparison of 3 runs") && page.contains("large (λ = 30)"), "all runs");
        assertEquals(1, page.split("<h1>", -1).length - 1);
    }

    @Test
    void aTrainingRunIsReported() throws IOException {
        Path run = folder.resolve("trained");
        tiny("train", "quickstart", "--device", "cpu", "--out", run.toString(), "evaluate_every=2")
                .succeeded();
        mfm("report", run.toString()).succeeded();
        String page = page(run.resolve("run-report.html"));
        assertTrue(page.contains("Training: trained") && page.contains("hidden_size"), "title and configuration");
        if (Text.available()) {
            assertTrue(page.contains("loss/diagonal over steps") && page.contains("learning rate over steps"));
            assertTrue(page.contains("held_out/diagonal over steps"));
        }
    }

    @Test
    void whatIsNoRunIsRefused() throws IOException {
        mfm("report").refused("RUN");
        mfm("report", folder.toString()).failed("has no metrics.jsonl", "mfm train");
        Path run = run("run", 1, 60);
        mfm("report", run.toString(), "--out", "page.txt").failed("page.txt", ".html");
        Files.writeString(run.resolve("finetune.yaml"), "a: [");
        mfm("report", run.toString()).failed("finetune.yaml", "not YAML");
        Files.writeString(run.resolve("metrics.jsonl"), "");
        mfm("report", run.toString()).failed("no whole line");
    }
}
