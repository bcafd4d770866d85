package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.model.ModelConfig;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.OptimizerConfig;
import org.metaflowmaps.training.config.TeacherConfig;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.DataConfig;

final class RunSettingsTest {
    private static void assertDifferent(String difference, Runs before, Runs now) {
        assertEquals(difference, RunSettings.difference(RunSettings.of(before.config()), now.config()));
    }

    @Test
    void whatDeterminesARunIsCompared() {
        Runs now = new Runs();
        now.seed = 6;
        now.batch = 8;
        assertDifferent("seed is 6, was 5", new Runs(), now);
        now.seed = 5;
        assertDifferent("batch is 8, was 4", new Runs(), now);
        now.batch = 4;
        now.accumulate = 2;
        assertDifferent("accumulate is 2, was 1", new Runs(), now);
        now.accumulate = 1;
        now.consistency = LossConfig.ConsistencyKind.NONE;
        assertDifferent("loss.consistency is \"none\", was \"psd\"", new Runs(), now);
        now.consistency = LossConfig.ConsistencyKind.PSD;
        now.optimizer = OptimizerConfig.Kind.ADAMW;
        assertDifferent("optimizer.kind is \"adamw\", was \"radam\"", new Runs(), now);
        now.optimizer = OptimizerConfig.Kind.RADAM;
        now.averageDecay = 0.5;
        assertDifferent("average.decay is 0.5, was 0.9", new Runs(), now);
    }

    @Test
    void whatMayChangeIsNot() {
        Runs now = new Runs();
        now.steps = 99;
        now.logEvery = 7;
        now.checkpointEvery = 3;
        now.checkpointKeep = 5;
        now.checkpointKeepEvery = 9;
        now.warmUp = 4;
        now.decay = 2;
        now.learningRate = 1e-5;
        now.clip = 0;
        now.skipAbove = 100;
        now.maxSkipped = 50;
        assertNull(RunSettings.difference(RunSettings.of(new Runs().config()), now.config()));
        assertEquals(RunSettings.of(new Runs().config()), RunSettings.of(now.config()));
    }

    /** Older versions had defaults where the data's files are now asked. */
    @Test
    void settingsThatTheDataStatesAreNotCompared() {
        Runs any = new Runs();
        DataConfig.Builder latents =
                DataConfig.builder().kind(DataConfig.Kind.LATENTS).folder("latents");
        TrainConfig open = any.config().toBuilder().data(latents.build()).build();
        TrainConfig older = any.config().toBuilder()
                .data(latents.channels(4).classes(10).scale(0.18215).build())
                .build();
        assertNull(RunSettings.difference(RunSettings.of(older), open));
        assertEquals(
                "data.scale is 0.5, was 0.18215",
                RunSettings.difference(
                        RunSettings.of(older),
                        open.toBuilder().data(latents.scale(0.5).build()).build()));
    }

    @Test
    void settingsThatOnlyOneVersionKnowsAreComparedIfTheyWereSaved() {
        String saved = RunSettings.of(new Runs().config());
        assertNull(RunSettings.difference(saved.replace("\"seed\":5,", ""), new Runs().config()));
        Runs any = new Runs();
        any.teacher = TeacherConfig.builder()
                .kind(TeacherConfig.Kind.NETWORK)
                .file("x")
                .build();
        Runs clock = new Runs();
        clock.teacher = TeacherConfig.builder()
                .kind(TeacherConfig.Kind.NETWORK)
                .file("x")
                .zeroData(true)
                .build();
        assertDifferent("teacher.is_zero_data is true, was null", any, clock);
        assertNull(RunSettings.difference(
                RunSettings.of(any.config()).replace("\"is_zero_data\":null,", ""), clock.config()));
        // Older versions used the model's is_zero_data, so setting the same value is not a change.
        for (Runs runs : List.of(any, clock)) {
            runs.model = ModelConfig.of(TransformerConfig.builder()
                    .inputSize(4)
                    .patchSize(2)
                    .inChannels(1)
                    .hiddenSize(8)
                    .depth(2)
                    .numHeads(2)
                    .labelDim(3)
                    .encoderDepth(1)
                    .zeroData(true)
                    .build());
        }
        assertNull(RunSettings.difference(RunSettings.of(any.config()), clock.config()));
        clock.teacher = TeacherConfig.builder()
                .kind(TeacherConfig.Kind.NETWORK)
                .file("x")
                .zeroData(false)
                .build();
        assertDifferent("teacher.is_zero_data is false, was null", any, clock);
        assertEquals(
                "dropout is not known, was 0.5",
                RunSettings.difference(saved.replace("\"seed\"", "\"dropout\":0.5,\"seed\""), new Runs().config()));
    }

    /** Earlier versions wrote the rank among several processes; only a run of one process can continue. */
    @Test
    void aRunOfOneProcessResumesWithoutRanks() {
        String now = RunSettings.of(new Runs().config());
        String before = now.replace("\"data\":{", "\"data\":{\"rank\":0,\"ranks\":1,");
        assertFalse(before.equals(now));
        assertNull(RunSettings.difference(before, new Runs().config()));
        assertEquals(
                "data.rank is not known, was 1",
                RunSettings.difference(
                        now.replace("\"data\":{", "\"data\":{\"rank\":1,\"ranks\":2,"), new Runs().config()));
    }

    @Test
    void aDecayThatRAdamNeverHadIsNotCompared() {
        String now = RunSettings.of(new Runs().config());
        String before = now.replace("\"weight_decay\":0.0", "\"weight_decay\":0.01");
        assertFalse(before.equals(now));
        assertNull(RunSettings.difference(before, new Runs().config()));
    }

    @Test
    void noFolderIsNamed() {
        TrainConfig config = new Runs().config();
        DataConfig elsewhere =
                config.data().toBuilder().folder("/home/me/images").workers(3).build();
        TrainConfig moved = config.toBuilder()
                .init("/home/me/first.safetensors")
                .data(elsewhere)
                .build();
        assertFalse(RunSettings.of(moved).contains("/home/me")
                || RunSettings.of(moved).contains("workers"));
        assertEquals("init is \"given\", was null", RunSettings.difference(RunSettings.of(config), moved));
    }
}
