package org.metaflowmaps.steering.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.metaflowmaps.models.checkpoint.CheckpointLayout;
import org.metaflowmaps.models.checkpoint.LoadedNetwork;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.pretend.Pretend;
import org.metaflowmaps.runtime.pretend.PretendCuda;
import org.metaflowmaps.steering.reward.Tilt;

/** A step of fine-tuning on a GPU waits for nothing, and is captured with its tape. */
@Pretend
final class FineTunePretendTest {
    private static final Device GPU = Device.cuda(0);

    /** Of a width for which there are kernels. */
    private static final TransformerConfig NETWORK =
            SmallNetworks.config().toBuilder().hiddenSize(128).build();

    @TempDir
    private Path folder;

    @ParameterizedTest
    @EnumSource(FineTuneLoss.Form.class)
    void everyFormIsCaptured(FineTuneLoss.Form form) {
        long[] launches = new long[2];
        for (boolean recompute : new boolean[] {false, true}) {
            String what = form + ", recompute " + recompute;
            long live = PretendCuda.read().liveGraphs();
            FineTuneConfig config = FineTuneConfig.builder()
                    .batch(4)
                    .shiftItems(4)
                    .averageStart(0)
                    .graphs(true)
                    .recompute(recompute)
                    .loss(FineTuneLoss.builder().form(form).anneal(2).build())
                    .build();
            try (LoadedNetwork base = new LoadedNetwork(
                            FlowMapTransformer.zeros(NETWORK, GPU.available()),
                            NETWORK,
                            new CheckpointLayout(CheckpointLayout.Family.MFM, ""),
                            true,
                            List.of());
                    FineTuning run = new FineTuning(
                            base,
                            new SmallItems(GPU),
                            new Tilt(new FineTuneMemoryTest.Curved(), 2),
                            config,
                            Optional.empty(),
                            GPU,
                            folder)) {
                run.takeStep();
                // Two steps while lambda grows, and three that warm up.
                for (int step = 1; step < 5; step++) {
                    PretendCuda.Counters eager = PretendCuda.count(run::takeStep);
                    assertEquals(0, eager.graphLaunches(), what);
                    assertEquals(0, eager.hostReads(), what);
                    launches[recompute ? 1 : 0] = eager.launches();
                }
                assertEquals(1, PretendCuda.count(run::takeStep).graphLaunches(), what);
                PretendCuda.Counters replayed = PretendCuda.count(run::takeStep);
                assertEquals(1, replayed.graphLaunches(), what);
                assertEquals(0, replayed.products(), what);
                assertEquals(0, replayed.hostReads(), what);
                assertEquals(0, replayed.legacyWork(), what);
            }
            assertEquals(live, PretendCuda.read().liveGraphs(), what);
        }
        System.out.printf("%s: %d kernels a step, with recompute %d%n", form, launches[0], launches[1]);
        assertTrue(launches[1] < launches[0], form + ": the setting recompute changes no step");
    }
}
