package org.metaflowmaps.benchmarks;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Host cost of one forward pass: XL/2's structure of 28 blocks, so narrow (16 wide, 2 heads, 4 tokens, 1 item) that
 * dispatch and look-ups dominate. Prints medians of the thread's CPU time, which other processes affect less than wall
 * time, and of the bytes allocated by Java.
 */
public final class ForwardTime {
    private static final int ROUNDS = 21;
    private static final int PASSES = 20;

    private ForwardTime() {}

    /** Measures; the argument is the number of warm-up passes. */
    public static void main(String[] arguments) {
        int warmUp = arguments.length == 0 ? 1000 : Integer.parseInt(arguments[0]);
        for (boolean joint : new boolean[] {false, true}) {
            TransformerConfig config = TransformerConfig.builder()
                    .inputSize(4)
                    .patchSize(2)
                    .inChannels(4)
                    .hiddenSize(16)
                    .depth(28)
                    .numHeads(2)
                    .labelDim(1000)
                    .encoderDepth(20)
                    .classScales(List.of(2.5))
                    .zeroData(true)
                    .learnSigma(true)
                    .qkNorm(true)
                    .jointAttention(joint)
                    .build();
            try (MetaFlowMap map = FlowMapTransformer.zeros(config, Device.CPU);
                    RandomSource random = RandomSource.seeded(1);
                    TensorScope scope = TensorScope.open();
                    Autograd.Mode off = Autograd.inference()) {
                Tensor state = random.normal(1, 4, 4, 4);
                Tensor time = Torch.of(new float[] {0.5f});
                Context context = new Context(time, state).checkedFor(map);
                passes(map, time, state, context, warmUp);
                measure(joint ? "joint attention" : "own attention", map, time, state, context);
            }
        }
    }

    private static void passes(MetaFlowMap map, Tensor time, Tensor state, Context context, int count) {
        for (int i = 0; i < count; i++) {
            try (TensorScope scope = TensorScope.open()) {
                map.averageVelocity(time, time, state, context);
            }
        }
    }

    private static void measure(String name, MetaFlowMap map, Tensor time, Tensor state, Context context) {
        ThreadMXBean thread = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        double[] microseconds = new double[ROUNDS];
        double[] kibibytes = new double[ROUNDS];
        for (int round = 0; round < ROUNDS; round++) {
            long started = thread.getCurrentThreadCpuTime();
            long allocated = thread.getCurrentThreadAllocatedBytes();
            passes(map, time, state, context, PASSES);
            microseconds[round] = (thread.getCurrentThreadCpuTime() - started) * 1e-3 / PASSES;
            kibibytes[round] = (thread.getCurrentThreadAllocatedBytes() - allocated) / 1024.0 / PASSES;
        }
        System.out.printf(Locale.ROOT, "%s: %.0f us, %.1f KiB a pass%n", name, median(microseconds), median(kibibytes));
    }

    private static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return sorted[sorted.length / 2];
    }
}
