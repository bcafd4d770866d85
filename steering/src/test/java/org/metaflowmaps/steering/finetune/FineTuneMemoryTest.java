package org.metaflowmaps.steering.finetune;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.metaflowmaps.models.checkpoint.CheckpointLayout;
import org.metaflowmaps.models.checkpoint.LoadedNetwork;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.BlockTape;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Reward;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.training.CheckpointFolder;
import org.metaflowmaps.training.RunListener;

/** The settings {@code recompute} and {@code graphs} of fine-tuning. */
final class FineTuneMemoryTest {
    private static final int ITEMS = 4;

    @TempDir
    private Path folder;

    private final long live = NativeMemory.liveTensors();

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    /** A nonlinear function of all entries. */
    record Curved() implements Reward {
        @Override
        public String name() {
            return "curved";
        }

        @Override
        public Tensor score(Tensor samples, Condition condition) {
            return samples.reshape(samples.size(0), -1).sin().mean(1);
        }

        @Override
        public boolean takesStates() {
            return true;
        }
    }

    private static FlowMapTransformer random(long seed) {
        FlowMapTransformer map = FlowMapTransformer.zeros(SmallNetworks.config(), Device.CPU, DType.FLOAT64);
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(seed);
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor values = map.parameters().values();
            values.copy_(random.normal(values.shape()).mul(0.3));
        }
        return map;
    }

    private static FineTuneDraw draw(MetaFlowMap map, RandomSource random) {
        long[] labels = new long[ITEMS];
        Arrays.setAll(labels, i -> i % (map.classes() + 1));
        Condition condition = Condition.labelled(Torch.of(labels));
        return new FineTuneDraw(
                0,
                random.uniform(ITEMS).to(DType.FLOAT64),
                items(map, random),
                items(map, random),
                items(map, random),
                condition,
                condition,
                null);
    }

    private static Tensor items(MetaFlowMap map, RandomSource random) {
        return random.normal(map.itemShape().prepend(ITEMS)).to(DType.FLOAT64);
    }

    private static Tensor gradients(MetaFlowMap map) {
        Tensor gradients = map.parameters().gradients();
        gradients.zero_();
        return gradients;
    }

    /** The student's blocks are on the tape, and its gradients are those of libtorch's graph, in float64. */
    @ParameterizedTest
    @EnumSource(FineTuneLoss.Form.class)
    void gradientsOnTheTapeAreThoseOfLibtorch(FineTuneLoss.Form form) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(5);
                FlowMapTransformer student = random(1);
                FlowMapTransformer base = random(2);
                MetaFlowMap frozen = base.frozen();
                FineTuneObjective objective = new FineTuneObjective(
                        student,
                        new NetworkDrift(frozen, false),
                        frozen,
                        new Tilt(new Curved(), 3),
                        FineTuneLoss.builder().form(form).trust(0.1).build(),
                        random,
                        null)) {
            FineTuneDraw draw = draw(student, random);
            Tensor found = gradients(student);
            Autograd.backward(objective.losses(draw).getFirst().compute().get().loss());
            Tensor expected = found.clone();
            ParameterArena arena = student.parameters();
            String block = arena.parameters().keySet().stream()
                    .filter(name -> name.startsWith("blocks.0.") && name.endsWith("weight"))
                    .findFirst()
                    .orElseThrow();
            gradients(student);
            try (BlockTape tape = BlockTape.open()) {
                Autograd.backward(
                        objective.losses(draw).getFirst().compute().get().loss());
                assertEquals(0, arena.view(block, found).abs().max().item(), "libtorch's graph does not hold " + block);
            }
            gradients(student);
            try (BlockTape tape = BlockTape.open()) {
                tape.backward(objective.losses(draw).getFirst().compute().get().loss());
            }
            for (String name : arena.parameters().keySet()) {
                Tensor wanted = arena.view(name, expected);
                double size = wanted.abs().max().item();
                double apart = arena.view(name, found).sub(wanted).abs().max().item();
                assertTrue(apart <= 1e-10 * size, form + ", " + name + ": " + apart + " of " + size);
            }
            assertTrue(arena.view(block, expected).abs().max().item() > 0, block);
        }
    }

    /** Runs a few steps and returns the weights. */
    private float[] learned(FineTuneConfig config, String name) throws IOException {
        Path out = folder.resolve(name);
        try (LoadedNetwork base = new LoadedNetwork(
                        SmallNetworks.transformer(),
                        SmallNetworks.config(),
                        new CheckpointLayout(CheckpointLayout.Family.MFM, ""),
                        true,
                        List.of());
                FineTuning run = new FineTuning(
                        base,
                        new SmallItems(Device.CPU),
                        new Tilt(new Curved(), 2),
                        config,
                        Optional.empty(),
                        Device.CPU,
                        out)) {
            assertTrue(run.run(new RunListener() {}));
            assertTrue(Files.exists(out.resolve(CheckpointFolder.CHECKPOINT)));
            return run.averaged().parameters().values().toFloatArray();
        }
    }

    private static FineTuneConfig.Builder config() {
        return FineTuneConfig.builder()
                .steps(6)
                .batch(4)
                .learningRate(0.1)
                .warmUp(0)
                .averageDecay(0)
                .averageStart(0)
                .shiftItems(4)
                .evaluateEvery(0)
                .loss(FineTuneLoss.builder().anneal(2).build());
    }

    /** A run on the tape learns the same but for rounding, and one in the form for graphs the same to the last bit. */
    @Test
    void aRunTakesTheSettings() throws IOException {
        FineTuneConfig plain = config().build();
        FineTuneConfig both = config().graphs(true).recompute(true).build();
        assertFalse(FineTuning.settings(plain).graphs()
                || FineTuning.settings(plain).recompute());
        assertTrue(
                FineTuning.settings(both).graphs() && FineTuning.settings(both).recompute());
        assertEquals(both, both.toBuilder().build());
        float[] expected = learned(plain, "plain");
        assertArrayEquals(expected, learned(config().graphs(true).build(), "graphs"));
        float[] recomputed = learned(config().recompute(true).build(), "recompute");
        assertArrayEquals(expected, recomputed, 1e-4F);
        assertArrayEquals(recomputed, learned(both, "both"));
        try (MetaFlowMap base = SmallNetworks.transformer()) {
            assertFalse(Arrays.equals(base.parameters().values().toFloatArray(), expected), "nothing was learned");
        }
    }
}
