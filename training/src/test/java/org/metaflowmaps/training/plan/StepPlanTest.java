package org.metaflowmaps.training.plan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.common.base.Splitter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.training.config.Configs;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.DataConfig;

/** Plans compared with counts in documents, with published numbers, and with each other. */
final class StepPlanTest {
    private static final double GIB = 0x1p30;
    private static final DataConfig MIXTURE = DataConfig.builder()
            .kind(DataConfig.Kind.MIXTURE)
            .holdOut(0)
            .means(List.of(new double[] {-3, -3}, new double[] {0, 0}, new double[] {3, 3}))
            .variance(0.5)
            .build();

    private static StepPlan plan(String name, String... settings) throws IOException {
        return StepPlan.of(config(name, settings), Device.Type.CUDA);
    }

    private static TrainConfig config(String name, String... settings) throws IOException {
        return Configs.load(name, List.of(settings)).config();
    }

    private static void near(double expected, double found, double tolerance, String what) {
        assertEquals(expected, found, tolerance * expected, what);
    }

    /** The rows of the table in docs/gpu.md, which StepPretendTest counts. */
    static List<String> counted() throws IOException {
        String row = "(?m)^\\| `(sit-[a-z0-9/-]+)`(?: with `recompute`)? \\| (\\d+) \\| (\\d+) \\| (\\d+) \\| 0 \\|"
                + " ([\\d.]+) \\| ([\\d.]+) \\|$";
        List<String> rows = Pattern.compile(row)
                .matcher(Files.readString(Path.of("../docs/gpu.md")))
                .results()
                .map(MatchResult::group)
                .toList();
        assertEquals(10, rows.size(), "the table of docs/gpu.md has another form");
        return rows;
    }

    @ParameterizedTest
    @MethodSource("counted")
    void thePlanAgreesWithWhatWasCounted(String row) throws IOException {
        List<String> cells = Splitter.on(' ')
                .omitEmptyStrings()
                .splitToList(row.replace("with `recompute`", "").replaceAll("[`|]", " "));
        StepPlan plan = plan(cells.get(0), "init=null", "recompute=" + row.contains("recompute"));
        near(Double.parseDouble(cells.get(1)), (double) plan.launches().kernels(), 0.01, row);
        near(Double.parseDouble(cells.get(2)), (double) plan.launches().products(), 0.01, row);
        near(Double.parseDouble(cells.get(3)), (double) plan.launches().fills(), 0.03, row);
        near(Double.parseDouble(cells.get(5)), plan.memory().item() / GIB, 0.02, row);
        near(Double.parseDouble(cells.get(6)), plan.memory().fixed() / GIB, 0.02, row);
    }

    /** Multiplications of one evaluation, 10^9, as DiT's authors publish them for networks of the same blocks. */
    @ParameterizedTest
    @CsvSource({"sit-b2/flow, 23.01", "sit-xl2/flow, 118.64"})
    void anEvaluationTakesThePublishedNumberOfMultiplications(String name, double published) throws IOException {
        near(published, plan(name).evaluation() / 2e9, 0.005, name);
    }

    /** The units of benchmarks/results/block.md, one block's tokens in float32: 20 with a graph, 11 with a tape. */
    @Test
    void aBlockStoresTheMeasuredUnits() throws IOException {
        double unit = 4.0 * 256 * 768;
        for (boolean taped : new boolean[] {false, true}) {
            String[] more = {"precision=float32", "recompute=" + taped, "model.transformer.depth=13"};
            double block = plan("sit-b2/flow", more).memory().item()
                    - plan("sit-b2/flow", more[0], more[1]).memory().item();
            near(taped ? 11 : 20, block / unit, 0.01, "taped " + taped);
        }
    }

    /** Every loss has the evaluations of the table in docs/losses.md. */
    @Test
    void passesAreThoseOfTheDocument() throws IOException {
        String text = Files.readString(Path.of("../docs/losses.md"));
        Map<String, String> table = Pattern.compile(
                        "(?m)^\\| ([a-z][^|]*) \\| ([a-z-]+) \\| (\\d) \\| (\\d) \\| (\\d) \\| (\\d) \\|$")
                .matcher(text)
                .results()
                .collect(Collectors.toMap(
                        row -> row.group(1) + " | " + row.group(2),
                        row -> row.group(3) + row.group(4) + row.group(5) + row.group(6)));
        int checked = 0;
        for (LossConfig.ConsistencyKind kind : LossConfig.ConsistencyKind.values()) {
            String name = kind.name().toLowerCase(Locale.ROOT).replace('_', '-');
            for (String velocity : List.of("data", "guided", "teacher")) {
                for (String more : List.of(
                        "loss.averaged=false", "loss.averaged=true", "loss.through=average", "loss.through=velocity")) {
                    if (kind == LossConfig.ConsistencyKind.LAGRANGIAN_TEACHER && more.endsWith("velocity")) {
                        continue;
                    }
                    TrainConfig config = config(
                            "sit-b2/meta-flow-map",
                            "teacher.kind=network",
                            "teacher.file=x",
                            "loss.velocity=" + velocity,
                            "loss.consistency=" + name,
                            "loss.alpha_to=1",
                            "times.pair.kind=" + (kind == LossConfig.ConsistencyKind.SHORTCUT ? "dyadic" : "uniform"),
                            more);
                    String through = more.startsWith("loss.through") ? more.substring(13) : "derivative";
                    String row = name
                            + switch (kind) {
                                case SEMIGROUP, PSD, SHORTCUT -> more.endsWith("true") ? ", averaged" : "";
                                case LAGRANGIAN, LAGRANGIAN_TEACHER -> ", through " + through;
                                case ALPHA_FLOW -> ", α = 0";
                                default -> "";
                            };
                    String counts = table.getOrDefault(row + " | -", table.get(row + " | " + velocity));
                    checked += counts == null ? 0 : 1;
                    if (counts != null) {
                        assertEquals(counts, counts(LossPasses.consistency(config)), row + " | " + velocity);
                    }
                    assertEquals(table.get("diagonal | " + velocity), counts(LossPasses.diagonal(config)), velocity);
                }
            }
        }
        // Only "none" and alpha-flow of other velocities have no row.
        assertEquals(12 * 12 - 3 - 12 - 8, checked);
    }

    private static String counts(LossPasses passes) {
        return "" + (passes.recorded() + passes.through()) + passes.silent() + (passes.tangents() + passes.through())
                + (passes.averaged() + passes.teacher());
    }

    private static TrainConfig guided(String name, String scale) throws IOException {
        return config(name, "guidance=" + scale, "model.transformer.model_guidance_class_ws=[" + scale + "]");
    }

    /** Classifier-free guidance evaluates a teacher twice, except at the scale of its training. */
    @Test
    void aGuidedTeacherIsEvaluatedTwice() throws IOException {
        assertEquals(2, LossPasses.diagonal(config("sit-b2/distill")).teacher());
        assertEquals(1, LossPasses.diagonal(guided("sit-b2/distill", "1")).teacher());
        assertEquals(1, LossPasses.diagonal(config("sit-xl2/distill")).teacher());
        assertEquals(2, LossPasses.diagonal(guided("sit-xl2/distill", "3")).teacher());
        StepPlan plan = plan("sit-b2/distill");
        // The student twice, and the teacher twice for each of its losses.
        near(6 * plan.evaluation(), plan.perItem().forward(), 0.005, "forward");
        assertEquals(plan("sit-b2/flow").parameters(), plan.teacher());
    }

    @Test
    void operationsFollowTheLosses() throws IOException {
        StepPlan flow = plan("sit-b2/flow");
        assertEquals(flow.evaluation(), flow.perItem().forward());
        near(2 * flow.evaluation(), flow.perItem().backward(), 0.02, "backward");
        assertEquals(256 * flow.perItem().total(), flow.flops().total(), 1e6);
        StepPlan half = plan("sit-b2/flow", "loss.consistency=mean-flow", "loss.consistency_share=0.5", "accumulate=3");
        assertEquals(1.5 * flow.evaluation(), half.perItem().forward(), 1);
        assertEquals(3 * 256, half.items());
        assertTrue(half.perItem().tangent() > 0.5 * flow.evaluation());
        assertTrue(half.perItem().tangent() < 0.6 * flow.evaluation());
        // A flow map's end time has no tangent in the first stage, two thirds of the blocks.
        StepPlan end = plan("sit-b2/flow", "loss.consistency=lagrangian", "loss.through=average");
        StepPlan start = plan("sit-b2/flow", "loss.consistency=eulerian");
        near(start.perItem().tangent() / 3, end.perItem().tangent(), 0.01, "tangent");
        StepPlan map = plan("sit-b2/meta-flow-map");
        assertEquals(map.evaluation() + 4 * (map.evaluation() + map.inputGradient()), map.steeredStep(4));
        assertThrows(IllegalArgumentException.class, () -> map.steeredStep(0));
    }

    /** The split is the fewest equal passes that fit. */
    @ParameterizedTest
    @CsvSource({
        "sit-xl2/flow, false, 80",
        "sit-xl2/meta-flow-map, false, 80",
        "sit-xl2/meta-flow-map, false, 24",
        "sit-b2/flow, false, 4",
        // Sums grow with the batch, then no further, then are smaller than what is free meanwhile.
        "sit-b2/flow, true, 3.2",
        "sit-b2/flow, true, 4.5",
        "sit-b2/flow, true, 8"
    })
    void theSplitFits(String name, boolean recompute, double gib) throws IOException {
        StepPlan plan = plan(name, "recompute=" + recompute);
        StepPlan.Split split = plan.split(gib * GIB).orElseThrow();
        assertEquals(plan.items(), split.batch() * split.accumulate());
        assertTrue(plan.memory().needed(split.batch()) <= gib * GIB);
        long largest = plan.memory().largestBatch(gib * GIB);
        assertTrue(plan.memory().needed(largest) <= gib * GIB);
        assertTrue(plan.memory().needed(largest + 1) > gib * GIB);
        for (long passes = 1; passes < split.accumulate(); passes++) {
            assertTrue(plan.items() % passes != 0 || plan.items() / passes > largest, passes + " passes fit");
        }
    }

    /** A device of 80 GiB gives out less, because the driver and libraries need some. */
    @ParameterizedTest
    @ValueSource(strings = {"flow", "flow-map", "meta-flow-map", "distill"})
    void passesOfTheLargestConfigurationsFit(String name) throws IOException {
        TrainConfig config = config("sit-xl2/" + name);
        assertTrue(StepPlan.of(config, Device.Type.CUDA).memory().needed(config.batch()) < 78 * GIB);
    }

    @Test
    void whatDoesNotFitHasNoSplit() throws IOException {
        StepPlan plan = plan("sit-xl2/flow");
        assertEquals(Optional.empty(), plan.split(13 * GIB));
        assertEquals(0, plan.memory().largestBatch(13 * GIB));
    }

    /** Gradients of bfloat16 weights, or RAdam's buffer on the CPU, when activations are gone. */
    @Test
    void theUpdateMayNeedMoreThanABatch() throws IOException {
        StepMemory memory = plan("sit-xl2/meta-flow-map").memory();
        assertEquals(memory.needed(1), memory.needed(2));
        assertEquals(memory.fixed() + memory.weights() / 2, memory.needed(1), 1);
        assertEquals(memory.fixed() + 20 * memory.item(), memory.needed(20), 1);
    }

    /** Launches of a pass are those of accumulate; on the CPU every slice has gradients. */
    @Test
    void passesAndSlicesAreCounted() throws IOException {
        Launches one = plan("sit-b2/flow").launches();
        Launches three = plan("sit-b2/flow", "accumulate=3").launches();
        assertEquals(3 * one.products(), three.products());
        assertTrue(three.kernels() < 3 * one.kernels());
        TrainConfig config = config("sit-b2/flow", "slices=4");
        StepMemory cpu = StepPlan.of(config, Device.Type.CPU).memory();
        assertEquals(4 * cpu.weights(), cpu.gradients());
        assertEquals(cpu.weights() / 2, cpu.copies());
        assertEquals(4 * cpu.weights() / 2, cpu.updating());
        StepMemory exact = StepPlan.of(config("sit-b2/meta-flow-map", "precision=float32", "slices=1"), Device.Type.CPU)
                .memory();
        assertEquals(0, exact.copies());
        assertEquals(exact.weights(), exact.updating());
        StepMemory averaged = plan("sit-b2/flow-map", "loss.consistency=psd", "loss.averaged=true")
                .memory();
        assertEquals(averaged.weights(), averaged.copies());
        StepMemory taught = plan("sit-b2/distill").memory();
        assertEquals((taught.weights() + taught.teacher()) / 2, taught.copies());
        assertEquals(
                cpu.weights(), StepPlan.of(config, Device.Type.CUDA).memory().gradients());
    }

    /** A network of vectors too. */
    @Test
    void operationsOfAPerceptronAreThoseOfItsLayers() {
        ModelConfig model = ModelConfig.of(SmallNetworks.mlpConfig(2, 16, 1, 3));
        StepPlan plan = StepPlan.of(
                TrainConfig.builder()
                        .model(model)
                        .data(MIXTURE)
                        .loss(LossConfig.builder()
                                .consistency(LossConfig.ConsistencyKind.NONE)
                                .build())
                        .build(),
                Device.Type.CUDA);
        // All weights and biases but the labels' four rows.
        assertEquals(2.0 * (plan.parameters() - 4 * 16), plan.perItem().forward());
        assertEquals(2 * plan.perItem().forward(), plan.perItem().backward());
    }
}
