package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.Precision;
import org.metaflowmaps.training.config.TeacherConfig;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.config.WeightingConfig;
import org.metaflowmaps.training.data.TrainingData;

/** The setting {@code recompute} changes a step's gradients only by rounding. */
final class RecomputeTest {
    private static final double TOLERANCE = 1e-5;
    private static final double BFLOAT16_TOLERANCE = 0.05;

    @TempDir
    private Path folder;

    private static Runs runs(LossConfig.ConsistencyKind consistency) {
        Runs runs = new Runs();
        runs.model = ModelConfig.of(SmallNetworks.transformerConfig(4, 2, 1, 8, 3, 2, 3));
        runs.consistency = consistency;
        runs.velocity = LossConfig.VelocityKind.DATA;
        runs.teacher = TeacherConfig.builder().build();
        runs.weighting = WeightingConfig.Kind.LEARNED;
        runs.batch = 5;
        runs.clip = 0;
        return runs;
    }

    /** Returns the gradients of a step by parameter, from weights that are nowhere zero. */
    private Map<String, double[]> gradients(TrainConfig config, Runs runs) throws IOException {
        Map<String, double[]> found = new LinkedHashMap<>();
        try (TrainingData data = runs.data();
                TrainingRun run = new TrainingRun(config, data, Device.CPU, folder);
                TensorScope scope = TensorScope.open()) {
            ParameterArena arena = run.map().parameters();
            try (RandomSource random = RandomSource.seeded(3);
                    Autograd.Mode off = Autograd.noGrad()) {
                for (Tensor parameter : arena.parameters().values()) {
                    parameter.copy_(random.normal(parameter.shape()).mul(0.3));
                }
            }
            run.takeStep();
            arena.parameters()
                    .keySet()
                    .forEach(name ->
                            found.put(name, arena.view(name, arena.gradients()).toDoubleArray()));
        }
        return found;
    }

    @ParameterizedTest
    @EnumSource(
            value = LossConfig.ConsistencyKind.class,
            names = {"NONE", "PSD", "SHORTCUT", "MEAN_FLOW", "EULERIAN", "LAGRANGIAN", "ALPHA_FLOW"})
    void gradientsAreThoseOfLibtorch(LossConfig.ConsistencyKind consistency) throws IOException {
        Runs runs = runs(consistency);
        TrainConfig plain = runs.config();
        long before = NativeMemory.liveTensors();
        for (int slices = 1; slices <= 2; slices++) {
            Map<String, double[]> expected =
                    gradients(plain.toBuilder().slices(slices).build(), runs);
            Map<String, double[]> actual =
                    gradients(plain.toBuilder().slices(slices).recompute(true).build(), runs);
            expected.forEach(
                    (name, wanted) -> close(wanted, actual.getOrDefault(name, new double[0]), TOLERANCE, name));
        }
        assertEquals(before, NativeMemory.liveTensors());
    }

    /** Products are rounded to bfloat16 in both, but sums are rounded in another order. */
    @Test
    void gradientsInMixedPrecisionAreCloseToThoseOfLibtorch() throws IOException {
        Runs runs = runs(LossConfig.ConsistencyKind.MEAN_FLOW);
        runs.precision = Precision.BFLOAT16;
        TrainConfig plain = runs.config();
        Map<String, double[]> expected = gradients(plain, runs);
        Map<String, double[]> actual =
                gradients(plain.toBuilder().recompute(true).build(), runs);
        expected.forEach(
                (name, wanted) -> close(wanted, actual.getOrDefault(name, new double[0]), BFLOAT16_TOLERANCE, name));
    }

    /** On the CPU a step in the form for a graph computes the same as another, to the last bit. */
    @Test
    void graphsChangeNothing() throws IOException {
        Runs runs = runs(LossConfig.ConsistencyKind.MEAN_FLOW);
        TrainConfig plain = runs.config().toBuilder().slices(1).recompute(true).build();
        Map<String, double[]> expected = gradients(plain, runs);
        Map<String, double[]> actual = gradients(plain.toBuilder().graphs(true).build(), runs);
        expected.forEach((name, wanted) -> assertArrayEquals(wanted, actual.get(name), name));
    }

    private static void close(double[] wanted, double[] found, double tolerance, String name) {
        assertEquals(wanted.length, found.length, name);
        double size = 0;
        double apart = 0;
        for (int i = 0; i < wanted.length; i++) {
            size = Math.max(size, Math.abs(wanted[i]));
            apart = Math.max(apart, Math.abs(wanted[i] - found[i]));
        }
        assertTrue(apart <= tolerance * size, name + ": apart by " + apart + ", the largest entry is " + size);
    }
}
