package org.metaflowmaps.benchmarks;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.BlockTape;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * The memory that a loss holds between its forward and its backward pass, with libtorch's graph and with a
 * {@link BlockTape}. Linux only: it reads the bytes in use from the C library, because libtorch's graph holds tensors
 * that {@link NativeMemory} does not count.
 */
public final class ActivationMemory {
    private static final Linker LINKER = Linker.nativeLinker();
    private static final MemoryLayout COUNTS = MemoryLayout.sequenceLayout(10, ValueLayout.JAVA_LONG);
    private static final int MAPPED = 4;
    private static final int ALLOCATED = 7;
    private static final MethodHandle MALLINFO2 = LINKER.downcallHandle(
            LINKER.defaultLookup().findOrThrow("mallinfo2"), FunctionDescriptor.of(MemoryLayout.structLayout(COUNTS)));

    private ActivationMemory() {}

    /**
     * Measures.
     *
     * @param arguments size (tiny, s2, b2), then optionally float32 or bfloat16, and the number of pairs of passes whose
     *     times to compare
     */
    public static void main(String[] arguments) {
        CpuSpeed.Size size = CpuSpeed.Size.named(arguments[0]);
        boolean cast = arguments.length > 1 && arguments[1].equals("bfloat16");
        try (RandomSource random = RandomSource.seeded(1);
                MetaFlowMap map = FlowMapTransformer.initialised(size.network(), Device.CPU, random)) {
            map.parameters().gradients();
            for (boolean tape : new boolean[] {false, true, false, true}) {
                measure(size, map, tape, cast, true);
            }
            compare(size, map, arguments.length > 2 ? Integer.parseInt(arguments[2]) : 0, cast);
        }
    }

    /** Prints the processor time of this thread's passes, forward and backward, taking turns. */
    private static void compare(CpuSpeed.Size size, MetaFlowMap map, int pairs, boolean cast) {
        double[] ratios = new double[pairs];
        double[] times = new double[pairs];
        for (int i = 0; i < pairs; i++) {
            long graph = measure(size, map, false, cast, false);
            ratios[i] = (double) measure(size, map, true, cast, false) / graph;
            times[i] = graph * 1e-6;
        }
        if (pairs > 0) {
            Arrays.sort(ratios);
            Arrays.sort(times);
            System.out.printf(
                    Locale.ROOT,
                    "%s %s: graph %.0f ms of processor time, tape/graph %.3f (middle half %.3f to %.3f)%n",
                    size,
                    cast ? "bfloat16" : "float32",
                    times[pairs / 2],
                    ratios[pairs / 2],
                    ratios[pairs / 4],
                    ratios[3 * pairs / 4]);
        }
    }

    /** Returns the nanoseconds of processor time of a loss and its gradients. */
    private static long measure(CpuSpeed.Size size, MetaFlowMap map, boolean taped, boolean cast, boolean prints) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1);
                BlockTape tape = taped ? BlockTape.open() : null) {
            long items = size.items().size(0);
            Tensor time = random.uniform(items);
            Tensor state = random.normal(size.items());
            Context context = new Context(
                    time,
                    state,
                    Condition.labelled(random.integers(0, size.network().labelDim(), items)));
            long started = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
            long before = prints ? inUse() : 0;
            long counted = NativeMemory.liveBytes();
            Tensor loss;
            try (TensorScope forward = TensorScope.open();
                    Autocast mode = cast ? Autocast.bfloat16(Device.Type.CPU) : Autocast.off(Device.Type.CPU)) {
                loss = forward.keep(
                        map.averageVelocity(time, time, state, context).square().mean());
            }
            if (prints) {
                System.out.printf(
                        Locale.ROOT,
                        "%s %s %s: %.3f MB per item, of them %.3f MB of Java's tensors (views counted in full)%n",
                        size,
                        cast ? "bfloat16" : "float32",
                        taped ? "tape" : "graph",
                        (inUse() - before) / 1e6 / items,
                        (NativeMemory.liveBytes() - counted) / 1e6 / items);
            }
            differentiate(tape, loss);
            return ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime() - started;
        }
    }

    private static void differentiate(@Nullable BlockTape tape, Tensor loss) {
        if (tape == null) {
            Autograd.backward(loss);
        } else {
            tape.backward(loss);
        }
    }

    /** Returns the bytes that the process has allocated and not freed. */
    private static long inUse() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment counts = (MemorySegment) MALLINFO2.invokeExact((SegmentAllocator) arena);
            return counts.getAtIndex(ValueLayout.JAVA_LONG, MAPPED)
                    + counts.getAtIndex(ValueLayout.JAVA_LONG, ALLOCATED);
        } catch (Throwable e) {
            throw new IllegalStateException("mallinfo2", e);
        }
    }
}
