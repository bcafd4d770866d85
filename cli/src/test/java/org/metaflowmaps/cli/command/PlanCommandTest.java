package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.cli.Command.mfm;

import com.google.common.base.Splitter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** {@code mfm plan}: its text, its JSON, and what it refuses. */
final class PlanCommandTest {
    private static String plan(String... arguments) {
        String[] all = new String[arguments.length + 1];
        all[0] = "plan";
        System.arraycopy(arguments, 0, all, 1, arguments.length);
        return mfm(all).succeeded().out();
    }

    private static String value(String text, String name) {
        Matcher line =
                Pattern.compile("(?m)^" + Pattern.quote(name) + " +(.*?)\\r?$").matcher(text);
        assertTrue(line.find(), text);
        return line.group(1);
    }

    @Test
    void aPlanIsPrintedInLines() {
        String text = plan("sit-xl2/flow", "recompute=false", "--tflops", "400");
        assertTrue(text.startsWith("sit-xl2/flow on cuda, bfloat16, recompute false: computed, nothing was run"), text);
        assertEquals("674,816,272", value(text, "parameters"));
        assertEquals("715.9 GFLOP: forward 237.2, tangent 0, backward 478.7", value(text, "per item"));
        assertEquals("183.3 TFLOP for 256 items", value(text, "per step"));
        assertEquals(
                "13.89 GiB: weights 2.51, gradients 2.51, moments 5.03, moving average 2.51, bfloat16 copies 1.26,"
                        + " workspaces 0.06",
                value(text, "memory, fixed"));
        assertEquals("0.409 GiB", value(text, "memory, per item"));
        assertEquals("161 in 80.00 GiB", value(text, "largest batch"));
        assertEquals("batch=128 accumulate=2, 66.20 GiB", value(text, "256 items"));
        assertEquals("2,505: 1,953 kernels, 438 products, 114 fills", value(text, "launches per step"));
        assertEquals("0.458 s per step at 400.0 TFLOP/s: arithmetic, not a measurement", value(text, "least time"));
        assertFalse(text.contains("note:"), text);
    }

    /** Settings, the device and its memory change the plan as they would change the run. */
    @Test
    void settingsAreThoseOfTraining() {
        String recomputed = plan("sit-xl2/flow", "recompute=true", "--memory", "40");
        assertTrue(recomputed.contains("recompute true"), recomputed);
        assertTrue(recomputed.contains("bfloat16 copies 1.26"), recomputed);
        assertFalse(plan("sit-xl2/flow", "precision=float32").contains("bfloat16 copies"));
        assertTrue(value(recomputed, "largest batch").matches("1\\d\\d in 40\\.00 GiB"), recomputed);
        String cpu = plan("sit-b2/flow", "--device", "cpu", "--memory", "16", "slices=2", "batch=8");
        assertTrue(cpu.startsWith("sit-b2/flow on cpu"), cpu);
        assertTrue(value(cpu, "memory, fixed").contains("gradients 0.97"), cpu);
        assertFalse(cpu.contains("launches"), cpu);
        String free = plan("quickstart", "--device", "cpu");
        assertTrue(value(free, "largest batch").matches("[1-9][\\d,]* in [\\d.]+ GiB"), free);
        String none = plan("sit-xl2/flow", "--memory", "8");
        assertEquals("0 in 8.00 GiB", value(none, "largest batch"));
        assertTrue(value(none, "256 items").startsWith("do not fit: one item needs 15.1"), none);
    }

    @Test
    void aTeacherAndDrawsAreIncluded() {
        String text = plan("sit-xl2/distill", "--draws", "4");
        assertEquals("683,991,952, teacher 674,816,272", value(text, "parameters"));
        assertTrue(value(text, "memory, fixed").contains("teacher 2.51"), text);
        assertTrue(value(text, "one steered step").matches("[\\d,.]+ GFLOP per item by mfm-g with 4 draws.*"), text);
        assertTrue(text.contains("note: the teacher is assumed to have the size of the trained network"), text);
        assertTrue(plan("mixture/distill").contains("note: the teacher is not a network of mfm"), text);
    }

    @Test
    void jsonHasTheSameNumbers() {
        JsonNode tree = JsonMapper.builder()
                .build()
                .readTree(plan("sit-xl2/meta-flow-map", "recompute=false", "--json", "--tflops=400", "--draws=1"));
        assertEquals("sit-xl2/meta-flow-map", tree.get("configuration").asString());
        assertEquals(360, tree.get("items_per_step").asLong());
        assertEquals(120, tree.get("batch").asLong());
        assertEquals(3, tree.get("accumulate").asLong());
        assertEquals(
                4.0 * tree.get("parameters").asLong(),
                tree.get("fixed_bytes").get("weights").asDouble());
        JsonNode item = tree.get("flop_per_item");
        double total = item.get("forward").asDouble()
                + item.get("tangent").asDouble()
                + item.get("backward").asDouble();
        assertEquals(360 * total, tree.get("flop_per_step").asDouble(), 1e-9 * 360 * total);
        assertEquals(360 * total / 400e12, tree.get("least_seconds_per_step").asDouble(), 1e-6);
        assertTrue(
                tree.get("needed_bytes").asDouble() < tree.get("memory_bytes").asDouble());
        assertTrue(tree.get("launches").get("kernels").asLong() > 5000);
        assertTrue(tree.get("flop_of_steered_step").asDouble()
                > 2 * tree.get("flop_of_evaluation").asDouble());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = ';',
            value = {
                "--memory=0; --memory is 0.0, expected a number of GiB above 0",
                "--memory=-3; --memory is -3.0",
                "--memory=NaN; --memory is NaN",
                "--tflops=0; --tflops is 0.0, expected a number of TFLOP/s above 0",
                "--tflops=Infinity; --tflops is Infinity",
                "--draws=0; --draws is 0, expected at least 1",
                "--draws=2; has no context, so it has no posterior draws",
                "batch=0; batch is 0",
                "stepz=3; did you mean 'steps'?"
            })
    void badInputIsRefused(String word, String message) {
        mfm("plan", "sit-b2/flow", word).failed(message);
    }

    @Test
    void unknownConfigurationsAndDevicesAreRefused() {
        mfm("plan", "sit-b2/flwo").failed("sit-b2/flwo does not exist", "did you mean 'sit-b2/flow'?");
        mfm("plan", "sit-b2/flow", "--device", "tpu").refused("--device", "tpu");
        mfm("plan", "sit-b2/flow", "--memory", "much").refused("--memory", "much");
        mfm("plan").refused("CONFIG");
    }

    /** The document shows what the command prints. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "sit-b2/flow",
                "sit-b2/flow-map",
                "sit-b2/meta-flow-map",
                "sit-xl2/flow",
                "sit-xl2/flow-map",
                "sit-xl2/meta-flow-map"
            })
    void theDocumentShowsThePlan(String name) throws IOException {
        String document = Files.readString(Path.of("../docs/image-scale.md"));
        String text = plan(name, "recompute=false", "--tflops", "400");
        String recomputed = plan(name, "recompute=true");
        String row = String.format(
                "| `%s` | %s | %s | %s | %s, %s | %s |",
                name,
                first(value(text, "per step")),
                first(value(text, "memory, fixed")) + ", " + first(value(recomputed, "memory, fixed")),
                first(value(text, "memory, per item")) + ", " + first(value(recomputed, "memory, per item")),
                first(value(text, "largest batch")),
                first(value(recomputed, "largest batch")),
                first(value(text, "least time")));
        assertTrue(document.contains(row), row);
        if (name.equals("sit-xl2/meta-flow-map")) {
            String example = plan(name, "--tflops", "400");
            assertTrue(document.contains(example.strip()), example);
        }
    }

    private static String first(String value) {
        return Splitter.on(' ').split(value).iterator().next();
    }
}
