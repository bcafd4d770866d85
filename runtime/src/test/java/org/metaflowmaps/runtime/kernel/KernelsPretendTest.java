package org.metaflowmaps.runtime.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.ProfilerWindow;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.cuda.StepGraph;
import org.metaflowmaps.runtime.pretend.Pretend;
import org.metaflowmaps.runtime.pretend.PretendCuda;

/** Operations launch their kernels, on libtorch's stream, and nothing else; the host never waits. */
@Pretend
class KernelsPretendTest {
    private static final Device GPU = Device.cuda(0);
    private static final double EPS = 1e-6;
    private static final long WIDTH = 1152;

    private long before;
    private TensorScope scope;

    @BeforeEach
    void open() {
        before = NativeMemory.liveTensors();
        scope = TensorScope.open();
    }

    @AfterEach
    void close() {
        scope.close();
        assertEquals(before, NativeMemory.liveTensors());
    }

    private static Tensor zeros(DType type, long... shape) {
        return Torch.zeros(type, GPU, shape);
    }

    /** Runs work twice, because the first run also compiles, and checks what the second one submits. */
    private static void assertLaunches(long launches, Runnable work) {
        work.run();
        PretendCuda.Counters counted = PretendCuda.count(work);
        assertEquals(launches, counted.launches());
        assertEquals(launches, counted.submitted());
        assertEquals(0, counted.hostReads());
        assertEquals(0, counted.legacyWork());
    }

    @Test
    void normsAreOneLaunchForwardAndTwoBackward() {
        Tensor stream = zeros(DType.FLOAT32, 2, 19, WIDTH);
        Tensor branch = zeros(DType.BFLOAT16, 2, 19, WIDTH);
        Tensor[] rows = zeros(DType.FLOAT32, 2, 6 * WIDTH).chunk(6, 1);
        GatedNorm norm = GatedNorm.on(stream);
        GatedNorm.Input input = new GatedNorm.Input(stream, branch, rows[2], rows[3], rows[4]);
        assertLaunches(1, () -> norm.forward(input, DType.BFLOAT16, EPS));
        GatedNorm.Output output = norm.forward(input, DType.BFLOAT16, EPS);
        assertLaunches(2, () -> norm.backward(input, output, branch, stream));
        GatedNormTangent.Direction direction =
                new GatedNormTangent.Direction(stream, branch, rows[2], rows[3], rows[4]);
        assertLaunches(1, () -> GatedNormTangent.on(stream).forward(input, direction, DType.BFLOAT16, EPS));
        PretendCuda.Counters composed =
                PretendCuda.count(() -> GatedNorm.composed().backward(input, output, branch, stream));
        assertTrue(composed.launches() > 10, composed.toString());
    }

    @Test
    void tangentsOfAttentionAndGeluAreOneLaunch() {
        Tensor[] heads = new Tensor[3];
        for (int i = 0; i < 3; i++) {
            heads[i] = zeros(DType.BFLOAT16, 2, 33, 3, 4, 72).select(2, i).transpose(1, 2);
        }
        AttentionTangent.Input input =
                new AttentionTangent.Input(heads[0], heads[1], heads[2], heads[0], zeros(DType.FLOAT32, 2, 4, 33));
        assertLaunches(1, () -> AttentionTangent.on(heads[0]).forward(input, heads[0], heads[1], heads[2]));
        Tensor hidden = zeros(DType.BFLOAT16, 2, 33, 4 * WIDTH);
        assertLaunches(1, () -> GeluTangent.on(hidden).forward(hidden, hidden));
    }

    /** As weight gradients are, where libtorch's own operators take a product, a cast and a sum. */
    @Test
    void aBfloat16ProductIsAddedToAFloat32SumWithoutKernels() {
        Tensor sum = zeros(DType.FLOAT32, 128, 64);
        Tensor left = zeros(DType.BFLOAT16, 256, 128).transpose(0, 1);
        Tensor right = zeros(DType.BFLOAT16, 256, 64);
        sum.addmm_(left, right);
        PretendCuda.Counters direct = PretendCuda.count(() -> sum.addmm_(left, right));
        assertEquals(0, direct.launches());
        assertEquals(1, direct.products());
        PretendCuda.Counters apart = PretendCuda.count(() -> sum.add_(left.matmul(right)));
        assertEquals(1, apart.launches());
        assertEquals(1, apart.products());
    }

    @Test
    void anOptimiserStepIsTwoLaunches() {
        Tensor[] flat = new Tensor[5];
        for (int i = 0; i < 5; i++) {
            flat[i] = zeros(DType.FLOAT32, 1027);
        }
        AdamPass.Buffers buffers =
                new AdamPass.Buffers(flat[0], flat[1], flat[2], flat[3], flat[4], zeros(DType.BFLOAT16, 1027));
        AdamPass.Scalars scalars = new AdamPass.Scalars(
                zeros(DType.FLOAT64),
                zeros(DType.FLOAT64),
                zeros(DType.FLOAT32),
                zeros(DType.FLOAT32),
                zeros(DType.FLOAT32));
        AdamPass pass = AdamPass.on(flat[0], new AdamPass.Settings(0.9, 0.95, 1e-8, 0, 1, false));
        assertLaunches(2, () -> pass.step(buffers, scalars));
    }

    /** Kernels that have run before are captured, because their modules are loaded. */
    @Test
    void kernelsAreCapturedInGraphs() {
        Tensor stream = zeros(DType.FLOAT32, 2, 19, WIDTH);
        Tensor branch = zeros(DType.BFLOAT16, 2, 19, WIDTH);
        Tensor[] rows = zeros(DType.FLOAT32, 2, 3 * WIDTH).chunk(3, 1);
        GatedNorm norm = GatedNorm.on(stream);
        StepGraph.Step step = inputs -> {
            GatedNorm.Input input = new GatedNorm.Input(inputs.get(0), inputs.get(1), rows[0], rows[1], rows[2]);
            GatedNorm.Output output = norm.forward(input, DType.BFLOAT16, EPS);
            return List.of(norm.backward(input, output, inputs.get(1), null).stream());
        };
        try (StepGraph graph = new StepGraph(GPU, 1)) {
            for (int i = 0; i < 6; i++) {
                graph.run("norm", List.of(stream, branch), step);
            }
            assertEquals(Optional.empty(), graph.refusal());
            assertEquals(1, graph.captures());
            PretendCuda.Counters counted = PretendCuda.count(() -> graph.run("norm", List.of(stream, branch), step));
            assertEquals(1, counted.graphLaunches());
            assertEquals(0, counted.launches());
        }
    }

    /** A window of profiling waits for the device at its ends. */
    @Test
    void aWindowOfProfilingBracketsTheWork() {
        PretendCuda.Counters counted = PretendCuda.count(() -> {
            try (ProfilerWindow window = new ProfilerWindow()) {
                window.begin();
                assertTrue(window.isOpen());
                window.end();
            }
        });
        assertEquals(2, counted.synchronisations());
    }

    @Test
    void otherWidthsAreComposed() {
        Tensor stream = zeros(DType.FLOAT32, 2, 3, 64);
        Tensor row = zeros(DType.FLOAT32, 2, 64);
        GatedNorm.Input input = new GatedNorm.Input(stream, null, null, row, row);
        PretendCuda.Counters counted =
                PretendCuda.count(() -> GatedNorm.on(stream).forward(input, DType.FLOAT32, EPS));
        assertTrue(counted.launches() > 1, counted.toString());
    }
}
