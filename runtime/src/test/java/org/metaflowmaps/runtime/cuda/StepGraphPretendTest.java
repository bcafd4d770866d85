package org.metaflowmaps.runtime.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.pretend.Pretend;
import org.metaflowmaps.runtime.pretend.PretendCuda;

@Pretend
final class StepGraphPretendTest {
    private static final Device GPU = Device.cuda(0);

    private static List<Tensor> polynomial(List<Tensor> inputs) {
        Tensor x = inputs.get(0);
        return List.of(x.square().add(x).mul(3), x.sum());
    }

    private static PretendCuda.Counters run(StepGraph graphs, long size, StepGraph.Step step) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor x = Torch.zeros(DType.FLOAT32, GPU, size);
            return PretendCuda.count(() -> {
                List<Tensor> results = graphs.run("polynomial", List.of(x), step);
                assertEquals(2, results.size());
            });
        }
    }

    /** After the warm-up a step is one launch, with copies of its inputs and results. */
    @Test
    void aStepIsCapturedOnceAndReplayed() {
        try (StepGraph graphs = new StepGraph(GPU, 4)) {
            for (int i = 0; i < StepGraph.WARM_UP; i++) {
                assertEquals(0, run(graphs, 8, StepGraphPretendTest::polynomial).graphLaunches());
            }
            PretendCuda.Counters captured = run(graphs, 8, StepGraphPretendTest::polynomial);
            assertEquals(1, captured.graphLaunches());
            assertEquals(4, captured.capturedNodes());
            assertEquals(4, graphs.nodes());
            int[] calls = {0};
            PretendCuda.Counters replayed = run(graphs, 8, inputs -> {
                calls[0]++;
                return polynomial(inputs);
            });
            assertEquals(0, calls[0]);
            assertEquals(1, replayed.graphLaunches());
            assertEquals(0, replayed.launches());
            assertEquals(3, replayed.copiesOnDevice());
            assertEquals(0, replayed.hostReads());
            assertEquals(1, graphs.captures());
            assertEquals(Optional.empty(), graphs.refusal());
        }
    }

    /** Another shape is another graph; the least recently used one is freed. */
    @Test
    void shapesHaveGraphsOfTheirOwnWithinABound() {
        long tensors = NativeMemory.liveTensors();
        long live = PretendCuda.read().liveGraphs();
        try (StepGraph graphs = new StepGraph(GPU, 2)) {
            for (long size : new long[] {8, 9, 10}) {
                for (int i = 0; i <= StepGraph.WARM_UP; i++) {
                    run(graphs, size, StepGraphPretendTest::polynomial);
                }
            }
            assertEquals(3, graphs.captures());
            assertEquals(8, graphs.nodes());
            assertEquals(live + 2, PretendCuda.read().liveGraphs());
            assertEquals(1, run(graphs, 9, StepGraphPretendTest::polynomial).graphLaunches());
            assertEquals(0, run(graphs, 8, StepGraphPretendTest::polynomial).graphLaunches());
        }
        assertEquals(live, PretendCuda.read().liveGraphs());
        assertEquals(tensors, NativeMemory.liveTensors());
    }

    /** Graphs share the memory of their steps: five of them need no more than one, and the last one frees it. */
    @Test
    void graphsShareTheirMemory() {
        long size = 64L << 20;
        AllocatorStatistics.emptyCache(GPU);
        long before = PretendCuda.read().bytes();
        try (StepGraph graphs = new StepGraph(GPU, 5)) {
            long[] held = new long[5];
            for (int i = 0; i < held.length; i++) {
                Object key = i;
                for (int run = 0; run <= StepGraph.WARM_UP + 1; run++) {
                    try (TensorScope scope = TensorScope.open()) {
                        Tensor x = Torch.zeros(DType.FLOAT32, GPU, 1);
                        graphs.run(
                                key,
                                List.of(x),
                                inputs -> List.of(
                                        inputs.getFirst().expand(size).add(1).sum()));
                    }
                }
                AllocatorStatistics.emptyCache(GPU);
                held[i] = PretendCuda.read().bytes() - before;
            }
            assertEquals(5, graphs.captures());
            assertTrue(held[0] >= 4 * size, "held " + held[0]);
            assertTrue(held[4] < held[0] + size, "held " + held[0] + ", then " + held[4]);
        }
        AllocatorStatistics.emptyCache(GPU);
        assertTrue(PretendCuda.read().bytes() < before + size);
    }

    private static void refused(String expected, StepGraph.Step step) {
        long tensors = NativeMemory.liveTensors();
        long live = PretendCuda.read().liveGraphs();
        AllocatorStatistics.emptyCache(GPU);
        try (StepGraph graphs = new StepGraph(GPU, 1)) {
            run(graphs, 8, step);
        }
        long bytes = PretendCuda.read().bytes();
        for (int round = 0; round < 3; round++) {
            try (StepGraph graphs = new StepGraph(GPU, 4)) {
                for (int i = 0; i < StepGraph.WARM_UP + 3; i++) {
                    assertEquals(0, run(graphs, 8, step).graphLaunches());
                }
                assertEquals(0, graphs.captures());
                assertTrue(
                        graphs.refusal().orElse("").contains(expected),
                        graphs.refusal().toString());
            }
            assertEquals(tensors, NativeMemory.liveTensors());
            assertEquals(live, PretendCuda.read().liveGraphs());
            // No more than the uncaptured step needs.
            assertEquals(bytes, PretendCuda.read().bytes());
        }
        try (StepGraph graphs = new StepGraph(GPU, 4)) {
            for (int i = 0; i <= StepGraph.WARM_UP; i++) {
                run(graphs, 8, StepGraphPretendTest::polynomial);
            }
            assertEquals(1, graphs.captures());
        }
    }

    /** A refused step runs as it is, and leaves no tensor, graph or memory behind. */
    @Test
    void aHostReadIsRefused() {
        refused("not permitted when stream is capturing", inputs -> {
            inputs.get(0).sum().item();
            return polynomial(inputs);
        });
    }

    /** An error of Java, such as too little memory, ends the capture and reaches the caller. */
    @Test
    void anErrorLeavesNothingBehind() {
        long tensors = NativeMemory.liveTensors();
        long live = PretendCuda.read().liveGraphs();
        AtomicBoolean fails = new AtomicBoolean();
        StepGraph.Step step = inputs -> {
            List<Tensor> results = polynomial(inputs);
            if (fails.get()) {
                throw new AssertionError("in a step");
            }
            return results;
        };
        try (StepGraph graphs = new StepGraph(GPU, 4)) {
            for (int i = 0; i < StepGraph.WARM_UP; i++) {
                run(graphs, 8, step);
            }
            fails.set(true);
            assertThrows(AssertionError.class, () -> run(graphs, 8, step));
            assertFalse(StepGraph.isCapturing());
            fails.set(false);
            run(graphs, 8, step);
            assertEquals(1, graphs.captures());
            assertEquals(1, run(graphs, 8, step).graphLaunches());
        }
        assertEquals(tensors, NativeMemory.liveTensors());
        assertEquals(live, PretendCuda.read().liveGraphs());
    }

    @Test
    void aRandomDrawIsRefused() {
        try (RandomSource random = RandomSource.seeded(1, GPU)) {
            refused(
                    "enerator",
                    inputs -> List.of(
                            inputs.get(0).add(random.normal(8)), inputs.get(0).sum()));
        }
    }

    @Test
    void aCopyFromTheHostIsRefused() {
        refused("pass it to the step", inputs -> {
            Tensor made = Torch.of(new float[8]).to(GPU);
            return List.of(inputs.get(0).add(made), inputs.get(0).sum());
        });
    }

    /** The backward pass runs on another thread, and its memory is the graph's too. */
    @Test
    void aBackwardPassIsCaptured() {
        try (TensorScope scope = TensorScope.open();
                StepGraph graphs = new StepGraph(GPU, 4)) {
            Tensor weight = Torch.zeros(DType.FLOAT32, GPU, 8).requiresGrad_(true);
            StepGraph.Step step = inputs -> {
                Tensor loss = inputs.get(0).mul(weight).square().sum();
                Tensor gradient = Autograd.gradients(loss, List.of(weight)).get(0);
                return List.of(gradient, loss.detach());
            };
            for (int i = 0; i < StepGraph.WARM_UP; i++) {
                run(graphs, 8, step);
            }
            PretendCuda.Counters captured = run(graphs, 8, step);
            assertEquals(Optional.empty(), graphs.refusal());
            assertEquals(1, captured.graphLaunches());
            assertTrue(captured.capturedNodes() >= 6, captured.toString());
        }
    }
}
