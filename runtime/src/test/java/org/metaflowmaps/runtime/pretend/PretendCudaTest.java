package org.metaflowmaps.runtime.pretend;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.metaflowmaps.bindings.ComputeStream;
import org.metaflowmaps.bindings.CudaEvents;
import org.metaflowmaps.bindings.CudaException;
import org.metaflowmaps.bindings.CudaGraphs;
import org.metaflowmaps.bindings.CudaRuntime;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorException;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** The pretend device itself: what it counts, and which captures it refuses. */
@Pretend
final class PretendCudaTest {
    private static final Device GPU = Device.cuda(0);

    private static Tensor ones(long... shape) {
        return Torch.full(1, DType.FLOAT32, GPU.available(), shape);
    }

    @Test
    void itIsTheDeviceOfLibtorch() {
        assertEquals(GPU, Device.preferred());
        assertEquals("Pretend H100", CudaRuntime.device(0).name());
        assertEquals(9, CudaRuntime.device(0).computeMajor());
        assertThrows(IllegalArgumentException.class, () -> Device.cuda(1).available());
    }

    /** The first use of the device already chooses the compute stream. */
    @Test
    void theFirstOperationIsNotOnTheLegacyStream() {
        assertEquals(1, PretendCuda.first().launches());
        assertEquals(0, PretendCuda.first().legacyWork());
    }

    @Test
    void eachOperationIsCountedOnce() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor a = ones(64, 64);
            Tensor warm = a.matmul(a).add(a);
            PretendCuda.Counters sum = PretendCuda.count(() -> a.add(a));
            assertEquals(1, sum.launches());
            assertEquals(1, sum.submitted());
            PretendCuda.Counters product = PretendCuda.count(() -> a.matmul(a));
            assertEquals(1, product.products());
            assertEquals(0, product.launches());
            PretendCuda.Counters read = PretendCuda.count(() -> warm.sum().item());
            assertEquals(1, read.copiesToHost());
            assertEquals(1, read.synchronisations());
            assertEquals(2, read.hostReads());
            assertEquals(0, read.legacyWork());
            assertEquals(
                    1,
                    PretendCuda.kernels(() -> a.mul(2)).values().stream()
                            .mapToLong(n -> n)
                            .sum());
        }
    }

    /** Values move to the device and back, so that code which depends on its own inputs works. */
    @Test
    void smallValuesSurviveARoundTripWithoutAWait() {
        try (TensorScope scope = TensorScope.open()) {
            ones(1);
            Tensor[] there = new Tensor[1];
            PretendCuda.Counters up = PretendCuda.count(
                    () -> there[0] = Torch.of(new long[] {3, 1, 2}).to(GPU));
            assertEquals(1, up.copiesToDevice());
            assertEquals(0, up.synchronisations());
            assertEquals(2, there[0].toLongArray()[2]);
        }
    }

    @Test
    void memoryIsAccountedAndLimited() {
        try (TensorScope scope = TensorScope.open()) {
            ones(1);
            PretendCuda.resetPeak();
            long before = PretendCuda.read().bytes();
            try (TensorScope inner = TensorScope.open()) {
                Torch.empty(DType.FLOAT32, GPU, 1L << 31);
            }
            assertTrue(PretendCuda.read().peakBytes() >= before + (8L << 30));
            TensorException refused =
                    assertThrows(TensorException.class, () -> Torch.empty(DType.FLOAT32, GPU, 1L << 35));
            assertTrue(refused.isOutOfMemory(), refused.toString());
            assertTrue(refused.getMessage().contains("On cuda:0 tensors take "), refused.toString());
            assertEquals(1, PretendCuda.count(() -> ones(1)).submitted());
        }
    }

    private static String refusal(long stream, Runnable work) {
        CudaGraphs.begin(stream);
        RuntimeException thrown = null;
        try {
            work.run();
        } catch (RuntimeException e) {
            thrown = e;
        }
        String code = CudaGraphs.abandon(stream).stream()
                .mapToObj(String::valueOf)
                .findFirst()
                .orElse("valid");
        return code
                + (thrown == null
                        ? ""
                        : ", " + thrown.getMessage().lines().findFirst().orElse(""));
    }

    /** The rules of CUDA for captures, and eager work afterwards. */
    @Test
    void capturesFollowCudasRules() {
        long stream = ComputeStream.of(0);
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1, GPU)) {
            Tensor a = ones(4);
            a.add(a);
            long graphs = PretendCuda.read().liveGraphs();
            assertEquals("valid", refusal(stream, () -> a.add_(a)));
            String read = refusal(stream, a.sum()::item);
            assertTrue(read.startsWith("901") && read.contains("not permitted when stream is capturing"), read);
            String draw = refusal(stream, () -> random.normal(4));
            assertTrue(draw.contains("RNG") || draw.contains("generator"), draw);
            String waited = refusal(stream, () -> CudaRuntime.synchronize(stream));
            assertTrue(waited.startsWith("901") && waited.contains("900"), waited);
            String legacy = refusal(stream, () -> {
                ComputeStream.setCurrent(0, 0);
                try {
                    a.add(a);
                } finally {
                    ComputeStream.setCurrent(stream, 0);
                }
            });
            assertTrue(legacy.startsWith("901") && legacy.contains("legacy stream"), legacy);
            assertThrows(CudaException.class, () -> CudaGraphs.begin(0));
            assertEquals(1, PretendCuda.count(() -> a.add(a)).launches());
            assertEquals(graphs, PretendCuda.read().liveGraphs());
        }
    }

    /** A stream that waits for a captured event joins the capture, and must be joined before its end. */
    @Test
    void otherStreamsTakePartInACapture() {
        long stream = ComputeStream.of(0);
        long other = ComputeStream.fromPool(false, 0);
        long event = CudaEvents.create(false);
        try (TensorScope scope = TensorScope.open()) {
            Tensor a = ones(4);
            for (boolean joined : new boolean[] {true, false}) {
                CudaGraphs.begin(stream);
                a.add_(1);
                CudaEvents.record(event, stream);
                CudaEvents.await(other, event);
                ComputeStream.setCurrent(other, 0);
                a.add_(1);
                ComputeStream.setCurrent(stream, 0);
                if (joined) {
                    CudaEvents.record(event, other);
                    CudaEvents.await(stream, event);
                    CudaGraphs.Executable graph = CudaGraphs.end(stream);
                    assertEquals(2, graph.nodes());
                    CudaGraphs.launch(graph, stream);
                    CudaGraphs.destroy(graph);
                } else {
                    assertEquals(
                            904,
                            assertThrows(CudaException.class, () -> CudaGraphs.end(stream))
                                    .code());
                }
            }
            assertFalse(ComputeStream.isCapturing());
        } finally {
            CudaEvents.destroy(event);
        }
    }
}
