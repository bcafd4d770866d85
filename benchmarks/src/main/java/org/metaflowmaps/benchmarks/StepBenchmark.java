package org.metaflowmaps.benchmarks;

import java.util.concurrent.TimeUnit;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.training.loss.Diagonal;
import org.metaflowmaps.training.loss.Eulerian;
import org.metaflowmaps.training.loss.Pair;
import org.metaflowmaps.training.loss.Regression;
import org.metaflowmaps.training.loss.Velocity;
import org.metaflowmaps.training.loss.Weighting;
import org.metaflowmaps.training.optim.Clipping;
import org.metaflowmaps.training.optim.RAdam;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * The time of a whole training step of a MeanFlow loss compared with flow matching, on the same network and batch.
 *
 * <p>Both run a forward pass, a backward pass, clipping and RAdam; the MeanFlow step also computes the network's
 * derivative along (s, x̄). A forward pass is about a third of a step and its tangents cost about as much, so 4/3 is
 * the best possible ratio; the limit is 1.6. The network is one for 28×28 grey images: patches of 4, width 128, 4
 * blocks of 4 heads, batches of 64.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 5)
@Measurement(iterations = 40)
@Fork(
        value = 2,
        jvmArgsAppend = {"--enable-native-access=ALL-UNNAMED", "-Xmx1g"})
public class StepBenchmark {
    private static final int BATCH = 64;
    private static final Velocity DATA = new Velocity.Data();

    private final TensorScope scope = TensorScope.open();
    private final RandomSource random = RandomSource.seeded(1);
    private final FlowMapTransformer map = FlowMapTransformer.initialised(
            TransformerConfig.builder()
                    .inputSize(28)
                    .patchSize(4)
                    .inChannels(1)
                    .hiddenSize(128)
                    .depth(4)
                    .numHeads(4)
                    .labelDim(10)
                    .encoderDepth(2)
                    .build(),
            Device.CPU,
            random);
    private final RAdam optimizer = new RAdam(map.parameters(), 0.9, 0.999, 1e-8);
    private final Weighting weighting = new Weighting.Adaptive(1, 0.01);
    private final Pair pair = pair();

    private Pair pair() {
        Tensor start = random.uniform(BATCH).mul(0.5);
        Context context = new Context(
                random.uniform(BATCH),
                random.normal(BATCH, 1, 28, 28),
                Condition.labelled(random.integers(0, 11, BATCH)));
        return new Pair(
                start, start.add(0.4), null, random.normal(BATCH, 1, 28, 28), random.normal(BATCH, 1, 28, 28), context);
    }

    /** Frees the network and the batch. */
    @TearDown(Level.Trial)
    public void close() {
        optimizer.close();
        map.close();
        random.close();
        scope.close();
    }

    /** One step of {@link Diagonal}. */
    @Benchmark
    public void flowMatching() {
        try (TensorScope inner = TensorScope.open()) {
            step(Diagonal.of(map, pair, DATA));
        }
    }

    /** One step of {@link Eulerian} on data, which is MeanFlow. */
    @Benchmark
    public void meanFlow() {
        try (TensorScope inner = TensorScope.open()) {
            step(new Eulerian(DATA).of(map, pair));
        }
    }

    private void step(Regression regression) {
        map.parameters().gradients().zero_();
        Autograd.backward(weighting.apply(regression, pair).loss());
        Clipping.clip(map.parameters(), 1);
        optimizer.step(1e-4);
    }
}
