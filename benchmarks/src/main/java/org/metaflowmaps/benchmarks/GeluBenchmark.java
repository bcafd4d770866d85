package org.metaflowmaps.benchmarks;

import java.util.concurrent.TimeUnit;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.kernel.GeluTangent;
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

/** GELU and its derivative for the hidden layer of 64 items of 49 tokens, width 128, by libtorch and by Java's loops, one thread. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 10, time = 200, timeUnit = TimeUnit.MILLISECONDS)
@Measurement(iterations = 20, time = 200, timeUnit = TimeUnit.MILLISECONDS)
@Fork(
        value = 2,
        jvmArgsAppend = {"--enable-native-access=ALL-UNNAMED", "-Dorg.metaflowmaps.threads=1", "-Xmx1g"})
public class GeluBenchmark {
    /** The program. */
    @Param({"libtorch", "loops"})
    private String program = "libtorch";

    private final TensorScope scope = TensorScope.open();
    private final RandomSource random = RandomSource.seeded(1);
    private final Tensor input = random.normal(64 * 49, 512);
    private final Tensor direction = random.normal(64 * 49, 512);

    private GeluTangent gelu() {
        return program.equals("loops") ? GeluTangent.on(input) : GeluTangent.composed();
    }

    /** Frees the operands. */
    @TearDown(Level.Trial)
    public void close() {
        random.close();
        scope.close();
    }

    /** The value. */
    @Benchmark
    public void value() {
        try (TensorScope inner = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            gelu().forward(input);
        }
    }

    /** The derivative times a direction. */
    @Benchmark
    public void derivative() {
        try (TensorScope inner = TensorScope.open()) {
            gelu().backward(input, direction);
        }
    }

    /** Both. */
    @Benchmark
    public void both() {
        try (TensorScope inner = TensorScope.open()) {
            gelu().forward(input, direction);
        }
    }
}
