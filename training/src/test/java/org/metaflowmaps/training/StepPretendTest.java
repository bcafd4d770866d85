package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.cuda.AllocatorStatistics;
import org.metaflowmaps.runtime.cuda.StepGraph;
import org.metaflowmaps.runtime.pretend.Pretend;
import org.metaflowmaps.runtime.pretend.PretendCuda;
import org.metaflowmaps.training.config.Configs;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.OptimizerConfig;
import org.metaflowmaps.training.config.TeacherConfig;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.config.WeightingConfig;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.optim.AdamW;
import org.metaflowmaps.training.optim.Clipping;
import org.metaflowmaps.training.optim.JointStep;
import org.metaflowmaps.training.optim.MovingAverage;
import org.metaflowmaps.training.optim.Optimizer;
import org.metaflowmaps.training.optim.RAdam;

/** Training steps on a GPU: what they launch, that the host never waits, and the memory that they need. */
@Pretend
final class StepPretendTest {
    private static final Device GPU = Device.cuda(0);
    private static final double GIB = 0x1p30;

    @TempDir
    private Path folder;

    private PretendCuda.Counters step(Runs runs) throws IOException {
        GPU.available();
        try (TrainingData data = runs.data(GPU);
                TrainingRun trainer = new TrainingRun(runs.config(), data, GPU, folder)) {
            for (int i = 0; i < 3; i++) {
                trainer.takeStep();
            }
            return PretendCuda.count(trainer::takeStep);
        }
    }

    private static void assertUnattended(PretendCuda.Counters step, String what) {
        assertEquals(0, step.hostReads(), what + ": " + step);
        assertEquals(0, step.legacyWork(), what);
        assertTrue(step.launches() > 20, what + ": " + step);
    }

    private static Runs runs(LossConfig.ConsistencyKind consistency) {
        Runs runs = new Runs();
        runs.consistency = consistency;
        runs.teacher = TeacherConfig.builder().kind(TeacherConfig.Kind.MIXTURE).build();
        runs.alphaTo = 10;
        runs.skipAbove = 100;
        return runs;
    }

    /** Of every loss and optimiser, also if gradients accumulate. */
    @ParameterizedTest
    @EnumSource(LossConfig.ConsistencyKind.class)
    void theHostWaitsForNoLoss(LossConfig.ConsistencyKind consistency) throws IOException {
        for (OptimizerConfig.Kind optimizer : OptimizerConfig.Kind.values()) {
            Runs runs = runs(consistency);
            runs.optimizer = optimizer;
            assertUnattended(step(runs), consistency + ", " + optimizer);
            runs.accumulate = 2;
            assertUnattended(step(runs), consistency + ", " + optimizer + ", accumulating");
        }
    }

    @ParameterizedTest
    @EnumSource(LossConfig.VelocityKind.class)
    void theHostWaitsForNoVelocity(LossConfig.VelocityKind velocity) throws IOException {
        Runs runs = runs(LossConfig.ConsistencyKind.MEAN_FLOW);
        runs.velocity = velocity;
        runs.guidance = 2;
        assertUnattended(step(runs), velocity.toString());
    }

    @ParameterizedTest
    @EnumSource(WeightingConfig.Kind.class)
    void theHostWaitsForNoWeighting(WeightingConfig.Kind weighting) throws IOException {
        Runs runs = runs(LossConfig.ConsistencyKind.PSD);
        runs.weighting = weighting;
        assertUnattended(step(runs), weighting.toString());
    }

    /** Images that stay on the device are chosen there. */
    @Test
    void theHostWaitsForNoImages() throws IOException {
        Runs runs = runs(LossConfig.ConsistencyKind.MEAN_FLOW);
        runs.model = Runs.TRANSFORMER;
        runs.teacher = TeacherConfig.builder().build();
        assertUnattended(step(runs), "images");
    }

    private void captured(Runs runs, String what) throws IOException {
        GPU.available();
        long tensors = NativeMemory.liveTensors();
        long graphs = PretendCuda.read().liveGraphs();
        runs.steps = 100;
        TrainConfig config = runs.config().toBuilder().graphs(true).build();
        try (TrainingData data = runs.data(GPU);
                TrainingRun run = new TrainingRun(config, data, GPU, folder)) {
            for (int i = 0; i < 8; i++) {
                run.takeStep();
            }
            StepGraph captured = run.graphs().orElseThrow();
            assertEquals(Optional.empty(), captured.refusal(), what);
            // The average is a plain copy in the first two steps, so there are two phases, and one is captured.
            assertEquals(1, captured.captures(), what);
            PretendCuda.Counters step = PretendCuda.count(run::takeStep);
            assertEquals(1, step.graphLaunches(), what);
            assertEquals(0, step.products(), what);
            assertEquals(0, step.hostReads(), what);
            // Drawing, and copies of inputs.
            assertTrue(step.submitted() < 80, what + ": " + step);
            // Numbers are read as of a step that runs as it is.
            assertEquals(
                    runs.consistency == LossConfig.ConsistencyKind.NONE ? 1 : 2,
                    run.takeStepAndRead().errors().size(),
                    what);
        }
        assertEquals(tensors, NativeMemory.liveTensors(), what);
        assertEquals(graphs, PretendCuda.read().liveGraphs(), what);
    }

    @ParameterizedTest
    @EnumSource(LossConfig.ConsistencyKind.class)
    void aStepOfEveryLossIsCaptured(LossConfig.ConsistencyKind consistency) throws IOException {
        for (OptimizerConfig.Kind optimizer : OptimizerConfig.Kind.values()) {
            Runs runs = runs(consistency);
            runs.alphaTo = 200;
            runs.maxSkipped = 100;
            runs.optimizer = optimizer;
            captured(runs, consistency + ", " + optimizer);
        }
    }

    @ParameterizedTest
    @EnumSource(WeightingConfig.Kind.class)
    void aStepOfEveryWeightingIsCaptured(WeightingConfig.Kind weighting) throws IOException {
        Runs runs = runs(LossConfig.ConsistencyKind.MEAN_FLOW);
        runs.maxSkipped = 100;
        runs.weighting = weighting;
        captured(runs, weighting.toString());
    }

    /** A schedule's stages are graphs of their own; between its ends alpha changes without another capture. */
    @Test
    void everyStageIsCapturedOnce() throws IOException {
        GPU.available();
        Runs runs = runs(LossConfig.ConsistencyKind.ALPHA_FLOW);
        runs.alphaTo = 30;
        runs.steps = 100;
        TrainConfig config = runs.config().toBuilder().graphs(true).build();
        try (TrainingData data = runs.data(GPU);
                TrainingRun run = new TrainingRun(config, data, GPU, folder)) {
            for (int i = 0; i < 36; i++) {
                run.takeStep();
            }
            assertEquals(3, run.graphs().orElseThrow().captures());
        }
    }

    /** The test sees a read. */
    @Test
    void aStepThatIsReadIsCounted() throws IOException {
        GPU.available();
        Runs runs = runs(LossConfig.ConsistencyKind.PSD);
        try (TrainingData data = runs.data(GPU);
                TrainingRun trainer = new TrainingRun(runs.config(), data, GPU, folder)) {
            trainer.takeStep();
            assertTrue(PretendCuda.count(trainer::takeStepAndRead).hostReads() >= 4);
        }
    }

    /** Two kernels for each optimiser take the place of clipping, update and average. */
    @ParameterizedTest
    @EnumSource(OptimizerConfig.Kind.class)
    void aJointStepLaunchesLess(OptimizerConfig.Kind kind) {
        GPU.available();
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad();
                ParameterArena arena = new ParameterArena(Map.of("w", Shape.of(99, 100)), GPU);
                MovingAverage average = new MovingAverage(arena, 0.9, 0);
                Optimizer optimizer = kind == OptimizerConfig.Kind.RADAM
                        ? new RAdam(arena, 0.9, 0.999, 1e-8)
                        : new AdamW(arena, 0.9, 0.999, 1e-8, 0.1);
                JointStep joint = JointStep.of(List.of(optimizer), average, 1).orElseThrow()) {
            arena.gradients().zero_();
            Tensor rate = Torch.full(1e-3, DType.FLOAT64, GPU);
            Tensor skip = Torch.full(0, DType.FLOAT32, GPU);
            PretendCuda.Counters apart = PretendCuda.count(() -> {
                Clipping.clip(arena, 1);
                optimizer.step(rate, skip);
                average.update(0, skip);
            });
            Tensor norm = Clipping.norm(List.of(arena));
            joint.step(rate, skip, norm, 0);
            PretendCuda.Counters together = PretendCuda.count(() -> joint.step(rate, skip, norm, 0));
            // Two to count the update, one to convert the count.
            assertEquals(5, together.submitted(), together.toString());
            assertEquals(0, together.hostReads());
            assertTrue(apart.submitted() > 2 * together.submitted(), apart.toString());
        }
    }

    /** Latents that are always the same. */
    private static final class Latents implements TrainingData {
        @Override
        public Shape itemShape() {
            return Shape.of(4, 32, 32);
        }

        @Override
        public int classes() {
            return 1000;
        }

        @Override
        public Batch batch(long position, int count) {
            return new Batch(
                    Torch.zeros(DType.FLOAT32, GPU, itemShape().prepend(count)), Torch.zeros(DType.INT64, GPU, count));
        }

        @Override
        public void close() {}
    }

    /** A step of a public configuration. */
    record Measured(PretendCuda.Counters step, double peak, double reserved, double milliseconds) {}

    static Measured measure(String name, int batch, Path folder, String... more) {
        List<String> overrides = new ArrayList<>(List.of("init=null", "batch=" + batch, "loss.diagonal_only=0"));
        overrides.addAll(List.of(more));
        AllocatorStatistics.emptyCache(GPU);
        try (TensorScope scope = TensorScope.open();
                TrainingData data = new Latents();
                TrainingRun run = new TrainingRun(config(name, overrides), data, GPU, folder)) {
            for (int i = 0; i < 5; i++) {
                run.takeStep();
            }
            AllocatorStatistics.resetPeaks(GPU);
            PretendCuda.Counters step = PretendCuda.count(run::takeStep);
            double peak = AllocatorStatistics.of(GPU).peakAllocated() / GIB;
            double best = Double.POSITIVE_INFINITY;
            for (int i = 0; i < 4; i++) {
                long begin = System.nanoTime();
                run.takeStep();
                best = Math.min(best, (System.nanoTime() - begin) / 1e6);
            }
            return new Measured(step, peak, AllocatorStatistics.of(GPU).reserved() / GIB, best);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static TrainConfig config(String name, List<String> overrides) throws IOException {
        return Configs.load(name, overrides).config();
    }

    /** Prints what a captured step costs the host, and the memory that the graph adds. */
    @Test
    void aCapturedStepCostsTheHostLess() {
        for (String name : List.of("sit-b2/flow", "sit-b2/meta-flow-map")) {
            Measured eager = measure(name, 8, folder);
            Measured replayed = measure(name, 8, folder, "graphs=true", "average.start=0");
            System.out.printf(
                    Locale.ROOT,
                    "%s, 8 items: host %.1f ms with %d operations, captured %.1f ms with %d; reserved %.2f and %.2f"
                            + " GiB%n",
                    name,
                    eager.milliseconds,
                    eager.step.submitted(),
                    replayed.milliseconds,
                    replayed.step.submitted(),
                    eager.reserved,
                    replayed.reserved);
            assertTrue(replayed.milliseconds < eager.milliseconds / 2, eager + " " + replayed);
            // The memory of the runs before the capture was returned.
            assertTrue(replayed.reserved < 1.1 * eager.reserved, eager + " " + replayed);
        }
    }

    /**
     * Launches of a step of the public configurations do not depend on the batch, and memory grows by the same amount for
     * each item. Prints both.
     */
    @ParameterizedTest
    @CsvSource({
        "sit-b2/flow, 8, 16, 1200, 0.10, 0.20",
        "sit-b2/flow-map, 8, 16, 3300, 0.10, 0.20",
        "sit-b2/meta-flow-map, 8, 16, 3500, 0.10, 0.20",
        "sit-xl2/flow recompute=false, 4, 8, 2600, 0.35, 0.45",
        "sit-xl2/meta-flow-map recompute=false, 4, 8, 7200, 0.35, 0.50",
        "sit-b2/flow recompute=true, 64, 128, 800, 0.03, 0.06",
        "sit-b2/flow-map recompute=true, 64, 128, 2300, 0.03, 0.06",
        "sit-b2/meta-flow-map recompute=true, 64, 128, 2500, 0.03, 0.06",
        "sit-xl2/flow, 64, 128, 1700, 0.10, 0.17",
        "sit-xl2/meta-flow-map, 64, 128, 4900, 0.10, 0.18"
    })
    void publicConfigurationsHaveKnownPrices(
            String name, int small, int large, long mostLaunches, double least, double most) {
        String[] words = name.split(" ", -1);
        String[] settings = Arrays.copyOfRange(words, 1, words.length);
        Measured one = measure(words[0], small, folder, settings);
        Measured two = measure(words[0], large, folder, settings);
        double perItem = (two.peak - one.peak) / (large - small);
        System.out.printf(
                Locale.ROOT,
                "%s: %d kernels, %d products, %d memsets, %d copies; %d waits; %.3f GiB per item + %.2f GiB; host %.0f"
                        + " ms%n",
                name,
                two.step.launches(),
                two.step.products(),
                two.step.memsets(),
                two.step.copiesOnDevice(),
                two.step.hostReads(),
                perItem,
                one.peak - small * perItem,
                two.milliseconds);
        assertUnattended(two.step, name);
        assertEquals(one.step.submitted(), two.step.submitted());
        assertTrue(two.step.submitted() <= mostLaunches, two.step.toString());
        assertTrue(perItem >= least && perItem <= most, perItem + " GiB per item");
        assertEquals(0, two.step.allocations(), "a step in the steady state allocates nothing from the driver");
    }

    /** The configurations' own batches, on a device of 80 GiB. */
    @ParameterizedTest
    @CsvSource({"sit-xl2/flow, 256", "sit-xl2/meta-flow-map, 360"})
    void theBatchOfTheLargestConfigurationsFits(String name, int batch) throws IOException {
        Measured step = measure(name, batch, folder);
        System.out.printf(Locale.ROOT, "%s: batch %d takes %.1f GiB%n", name, batch, step.peak);
        assertTrue(step.peak < 79, step.peak + " GiB");
    }
}
