package org.metaflowmaps.cli.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.pretend.Pretend;
import org.metaflowmaps.training.config.Precision;

/** The benchmark's cases on a GPU: its times have no meaning here, but memory is accounted. */
@Pretend
final class BenchPretendTest {
    @Test
    void theMemoryOfEachCaseIsMeasured() throws IOException {
        Device gpu = Device.cuda(0).available();
        List<BenchResult> results = new ArrayList<>();
        List<Double> peaks = new ArrayList<>();
        for (int batch : new int[] {16, 64}) {
            results.clear();
            Bench bench = new Bench(BenchSize.tiny, batch, gpu, Precision.FLOAT32, 2, results::add);
            bench.training();
            bench.sampling();
            // Steering refuses the device's values.
            assertEquals(3, results.size(), results.toString());
            results.forEach(result -> peaks.add(result.values().get("peak_device_gibibytes")));
        }
        for (int i = 0; i < 3; i++) {
            assertTrue(peaks.get(i) > 0, results.get(i).toString());
            assertTrue(peaks.get(i + 3) > peaks.get(i), "memory grows with the batch: " + peaks);
        }
    }
}
