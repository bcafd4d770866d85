package org.metaflowmaps.benchmarks;

import java.util.concurrent.TimeUnit;
import org.metaflowmaps.models.drift.Glass;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.loss.AlphaFlow;
import org.metaflowmaps.training.loss.Diagonal;
import org.metaflowmaps.training.loss.Eulerian;
import org.metaflowmaps.training.loss.ImprovedMeanFlow;
import org.metaflowmaps.training.loss.Lagrangian;
import org.metaflowmaps.training.loss.Lagrangian.Through;
import org.metaflowmaps.training.loss.Pair;
import org.metaflowmaps.training.loss.Progressive;
import org.metaflowmaps.training.loss.Regression;
import org.metaflowmaps.training.loss.Semigroup;
import org.metaflowmaps.training.loss.Shortcut;
import org.metaflowmaps.training.loss.TerminalVelocity;
import org.metaflowmaps.training.loss.Velocity;
import org.metaflowmaps.training.loss.Weighting;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * The time of each loss with targets and backward pass, without the optimiser; {@code forward} is the unit, one pass of
 * the network without recording. The network and the batch are those of {@link StepBenchmark}; a teacher is a network
 * of the same shape.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 4)
@Measurement(iterations = 15)
@Fork(
        value = 1,
        jvmArgsAppend = {"--enable-native-access=ALL-UNNAMED", "-Xmx1g"})
public class LossBenchmark {
    private static final int BATCH = 64;

    /** The loss to measure. */
    @Param({
        "forward",
        "diagonal",
        "diagonal-teacher",
        "semigroup",
        "psd",
        "shortcut",
        "mean-flow",
        "improved-mean-flow",
        "eulerian",
        "eulerian-teacher",
        "lagrangian",
        "lagrangian-average",
        "lagrangian-velocity",
        "lagrangian-teacher",
        "lagrangian-teacher-average",
        "terminal-velocity",
        "alpha-flow"
    })
    public String loss = "forward";

    private final TensorScope scope = TensorScope.open();
    private final RandomSource random = RandomSource.seeded(1);
    private final FlowMapTransformer map = network();
    private final FlowMapTransformer other = network();
    private final Velocity.Field taught = new Velocity.Taught(new Glass(new NetworkDrift(other)));
    private final Tensor alpha = Torch.scalar(0.5);
    private final Pair pair = pair();

    private FlowMapTransformer network() {
        return FlowMapTransformer.initialised(
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
    }

    private Pair pair() {
        Tensor start = random.uniform(BATCH).mul(0.5);
        Context context = new Context(
                random.uniform(BATCH),
                random.normal(BATCH, 1, 28, 28),
                Condition.labelled(random.integers(0, 11, BATCH)));
        return new Pair(
                start,
                start.add(0.4),
                random.uniform(BATCH),
                random.normal(BATCH, 1, 28, 28),
                random.normal(BATCH, 1, 28, 28),
                context);
    }

    private Regression regression() {
        Velocity.Data data = new Velocity.Data();
        Velocity.Own own = new Velocity.Own();
        return switch (loss) {
            case "diagonal" -> Diagonal.of(map, pair, data);
            case "diagonal-teacher" -> Diagonal.of(map, pair, taught);
            case "semigroup" -> new Semigroup(null).of(map, pair);
            case "psd" -> new Progressive(null).of(map, pair);
            case "shortcut" -> new Shortcut(null, 0).of(map, pair);
            case "mean-flow" -> new Eulerian(data).of(map, pair);
            case "improved-mean-flow" -> new ImprovedMeanFlow(data).of(map, pair);
            case "eulerian" -> new Eulerian(own).of(map, pair);
            case "eulerian-teacher" -> new Eulerian(taught).of(map, pair);
            case "lagrangian" -> new Lagrangian(own, Through.DERIVATIVE).of(map, pair);
            case "lagrangian-average" -> new Lagrangian(own, Through.AVERAGE).of(map, pair);
            case "lagrangian-velocity" -> new Lagrangian(own, Through.VELOCITY).of(map, pair);
            case "lagrangian-teacher" -> new Lagrangian(taught, Through.DERIVATIVE).of(map, pair);
            case "lagrangian-teacher-average" -> new Lagrangian(taught, Through.AVERAGE).of(map, pair);
            case "terminal-velocity" -> new TerminalVelocity(other).of(map, pair);
            case "alpha-flow" -> new AlphaFlow(data, AlphaFlow.Stage.BETWEEN).of(map, pair.withAlpha(alpha));
            default -> throw new IllegalArgumentException("there is no loss " + loss);
        };
    }

    /** One evaluation of a loss with its gradient, or the unit. */
    @Benchmark
    public void loss() {
        try (TensorScope inner = TensorScope.open()) {
            if (loss.equals("forward")) {
                try (Autograd.Mode off = Autograd.noGrad()) {
                    map.averageVelocity(pair.start(), pair.end(), pair.state(), pair.context());
                }
            } else {
                map.parameters().gradients().zero_();
                Autograd.backward(new Weighting.Adaptive(1, 0.01)
                        .apply(regression(), pair)
                        .loss());
            }
        }
    }

    /** Frees the networks and the batch. */
    @TearDown(Level.Trial)
    public void close() {
        map.close();
        other.close();
        random.close();
        scope.close();
    }
}
