package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.data.ImageData;
import org.metaflowmaps.training.data.LabelledImages;
import org.metaflowmaps.training.data.Loader;
import org.metaflowmaps.training.data.Reading;
import org.metaflowmaps.training.data.TrainingData;

/** Peak memory of a pass and a step, in units of one block's tokens. */
@Tag("soak") // The JVM also changes the process's memory.
final class PeakMemoryTest {
    private static final int BATCH = 32;
    private static final int SIZE = 32;
    private static final int WIDTH = 32;

    /** 256 tokens per image. */
    private static final double TOKENS = BATCH * 256.0 * WIDTH * Float.BYTES;

    @TempDir
    private Path folder;

    @BeforeEach
    void linux() {
        assumeTrue(PeakMemory.prepare(), "no high-water mark of memory here");
    }

    @AfterAll
    static void finish() {
        if (PeakMemory.prepare()) {
            PeakMemory.finish();
        }
    }

    private static TransformerConfig config(int depth) {
        return SmallNetworks.transformerConfig(SIZE, 2, 1, WIDTH, depth, 2, 3);
    }

    private static double silentPass(int depth, boolean tangent) throws IOException {
        try (FlowMapTransformer map = FlowMapTransformer.zeros(config(depth), Device.CPU);
                TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor state = Torch.zeros(BATCH, 1, SIZE, SIZE);
            Tensor time = Torch.zeros(BATCH);
            Context context = new Context(time, state);
            Dual start = tangent ? Dual.of(time, Torch.onesLike(time)) : Dual.constant(time);
            Dual moving = tangent ? Dual.of(state, Torch.onesLike(state)) : Dual.constant(state);
            Runnable pass = () -> {
                try (TensorScope inner = TensorScope.open()) {
                    map.averageVelocity(start, Dual.constant(time), moving, context);
                }
            };
            pass.run();
            return PeakMemory.least(pass) / TOKENS;
        }
    }

    /** Without a graph, finished blocks keep no memory: a deep network's peak equals a shallow one's. */
    @Test
    void aPassWithoutAGraphHoldsTheTokensOfOneBlock() throws IOException {
        for (boolean tangent : new boolean[] {false, true}) {
            double shallow = silentPass(2, tangent);
            double deep = silentPass(26, tangent);
            assertTrue(
                    deep - shallow < 12,
                    "depth 2: " + shallow + ", depth 26: " + deep + ", with a tangent: " + tangent);
        }
    }

    private double step(LossConfig.ConsistencyKind consistency) throws IOException {
        Runs runs = new Runs();
        runs.model = ModelConfig.of(config(4));
        runs.batch = BATCH;
        runs.consistency = consistency;
        byte[] pixels = new byte[BATCH * SIZE * SIZE];
        new Random(2).nextBytes(pixels);
        LabelledImages images = new LabelledImages(pixels, 1, SIZE, SIZE, new byte[BATCH], List.of("a", "b", "c"));
        try (TrainingData data = new Loader(new ImageData(images), 1, Reading.of(0), Device.CPU);
                TrainingRun trainer = new TrainingRun(runs.config(), data, Device.CPU, folder)) {
            trainer.takeStep();
            return PeakMemory.least(() -> trainer.takeStep()) / TOKENS;
        }
    }

    /**
     * The consistency loss is computed after the diagonal's graph is freed: a step with both needs little more than one
     * with either.
     */
    @Test
    void aStepHoldsOneGraphAtATime() throws IOException {
        double one = step(LossConfig.ConsistencyKind.NONE);
        double both = step(LossConfig.ConsistencyKind.PSD);
        assertTrue(one > 40, "a graph of four blocks takes more than " + one);
        assertTrue(both < 1.4 * one, "diagonal: " + one + ", with a consistency loss: " + both);
    }
}
