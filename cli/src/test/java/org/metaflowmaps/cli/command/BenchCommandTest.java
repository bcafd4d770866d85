package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.cli.Command.mfm;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.cli.Command;
import org.metaflowmaps.cli.bench.BenchSize;
import org.metaflowmaps.runtime.NativeMemory;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

final class BenchCommandTest {
    @TempDir
    private Path folder;

    @Test
    void everyPartIsMeasuredAndWritten() throws IOException {
        long tensors = NativeMemory.liveTensors();
        Path file = folder.resolve("bench.json");
        Command run = mfm("bench", "--device", "cpu", "--batch", "1", "--repetitions", "1", "--out", file.toString())
                .succeeded();
        assertTrue(run.out().startsWith("tiny, batch 1, float32 on cpu"), run.out());
        JsonNode json = JsonMapper.builder().build().readTree(file.toFile());
        List<String> cases = new ArrayList<>();
        for (JsonNode one : json.path("cases")) {
            cases.add(one.path("group").asString() + " " + one.path("name").asString());
            assertTrue(one.path("milliseconds").asDouble() > 0, one.toString());
            // The host cannot finish after the device.
            assertTrue(one.path("host_milliseconds").asDouble()
                    <= one.path("milliseconds").asDouble() + 1);
        }
        assertTrue(cases.containsAll(List.of("train flow", "train mean flow", "sample 4 steps", "io write weights")));
        assertTrue(json.path("forward_flops_per_item").asDouble() > 1e6);
        assertEquals(tensors, NativeMemory.liveTensors());
    }

    /** The published count for XL/2 on 256 tokens is 118.6 G multiplications and additions, two operations each. */
    @Test
    void operationsAreThoseOfThePublishedCount() {
        assertEquals(2 * 118.64e9, BenchSize.xl2.forwardFlops(), 0.001 * 2 * 118.64e9);
    }

    @Test
    void impossibleCountsAreRefused() {
        assertTrue(mfm("bench", "--repetitions", "0").err().contains("--repetitions 0"));
        assertTrue(mfm("bench", "--only", "nothing").err().contains("--only"));
    }
}
