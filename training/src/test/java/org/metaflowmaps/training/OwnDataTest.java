package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.Items;
import org.metaflowmaps.training.data.Loader;
import org.metaflowmaps.training.data.Reading;

/** A program trains on its own data with a built-in configuration. */
final class OwnDataTest {
    /** Points on two circles; the label is the circle's index. */
    private record Circles(int count) implements Items {
        @Override
        public Shape itemShape() {
            return Shape.of(2);
        }

        @Override
        public int classes() {
            return 2;
        }

        @Override
        public int label(int index) {
            return index % 2;
        }

        @Override
        public void read(int index, MemorySegment row) {
            double angle = 2 * Math.PI * index / count;
            row.setAtIndex(ValueLayout.JAVA_FLOAT, 0, (float) ((1 + label(index)) * Math.cos(angle)));
            row.setAtIndex(ValueLayout.JAVA_FLOAT, 1, (float) ((1 + label(index)) * Math.sin(angle)));
        }
    }

    private static float[] train(TrainConfig config, Path folder, int... stops) throws IOException {
        for (int stop : stops) {
            train(config.with("steps=" + stop), folder);
        }
        try (Loader data = new Loader(
                        new Circles(100), config.seed(), Reading.of(2).holdingOut(10), Device.CPU);
                TrainingRun trainer = new TrainingRun(config, data, Device.CPU, folder)) {
            if (stops.length == 0) {
                trainer.initialise();
            } else {
                trainer.resume();
                assertEquals(stops[stops.length - 1], trainer.step());
            }
            assertTrue(trainer.run());
            return trainer.map().parameters().values().toFloatArray();
        }
    }

    @Test
    void aRunContinuesAsIfItHadNotStopped(@TempDir Path folder) throws IOException {
        TrainConfig config = TrainConfig.load(
                "mixture/meta-flow-map",
                "steps=12",
                "batch=8",
                "model.mlp.dimension=2",
                "model.mlp.label_dim=2",
                "model.mlp.width=8",
                "model.mlp.depth=1",
                "optimizer.decay=0");
        assertArrayEquals(train(config, folder.resolve("whole")), train(config, folder.resolve("parts"), 5));
    }
}
