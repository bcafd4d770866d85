package org.metaflowmaps.benchmarks;

import java.util.concurrent.TimeUnit;
import org.bytedeco.pytorch.Scalar;
import org.metaflowmaps.bindings.Libtorch;
import org.metaflowmaps.bindings.Operator;
import org.metaflowmaps.bindings.StableAbi;
import org.metaflowmaps.runtime.JavaCpp;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * Host cost of one operation on eight floats, through {@link Tensor} and through the two bindings below it.
 *
 * <p>libtorch needs almost no time for eight floats, so this measures the overhead: the call, the result's object, and
 * its freeing. {@link #bareJavaCpp} is the lower bound for {@link #tensorInAScope}. Many short iterations make the
 * median and the lower quartile useful on a busy machine.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 10, time = 300, timeUnit = TimeUnit.MILLISECONDS)
@Measurement(iterations = 40, time = 100, timeUnit = TimeUnit.MILLISECONDS)
@Fork(
        value = 3,
        jvmArgsAppend = {"--enable-native-access=ALL-UNNAMED", "-Dorg.metaflowmaps.threads=1", "-Xmx1g"})
public class OperatorBenchmark {
    private static final int OPERATIONS = 1_000;

    private final TensorScope scope = TensorScope.open();
    private final Tensor left = Torch.of(new float[] {1, 2, 3, 4, 5, 6, 7, 8});
    private final Tensor right = Torch.of(new float[] {8, 7, 6, 5, 4, 3, 2, 1});
    private final Tensor retained = right.clone().retain();
    private final org.bytedeco.pytorch.Tensor rawLeft = JavaCpp.unwrap(left);
    private final org.bytedeco.pytorch.Tensor rawRight = JavaCpp.unwrap(right);
    private final Operator multiply = Operator.of("aten::mul", "Tensor", 2, 1);

    /** Frees the operands. */
    @TearDown(Level.Trial)
    public void close() {
        retained.close();
        scope.close();
    }

    /** {@link Tensor#mul(Tensor)}, a thousand times in one scope, which frees the results as it closes. */
    @Benchmark
    @OperationsPerInvocation(OPERATIONS)
    public void tensorInAScope() {
        try (TensorScope inner = TensorScope.open()) {
            for (int i = 0; i < OPERATIONS; i++) {
                left.mul(right);
            }
        }
    }

    /** {@link Tensor#mul(Tensor)}, each in its own scope. */
    @Benchmark
    public void tensorWithAScopeEach() {
        try (TensorScope inner = TensorScope.open()) {
            left.mul(right);
        }
    }

    /** {@link Tensor#mul(Tensor)}, freed by {@link Tensor#close} before the next. */
    @Benchmark
    @OperationsPerInvocation(OPERATIONS)
    public void tensorClosedEarly() {
        try (TensorScope inner = TensorScope.open()) {
            for (int i = 0; i < OPERATIONS; i++) {
                left.mul(right).close();
            }
        }
    }

    /** {@link Tensor#mul(double)}, with a shared native scalar. */
    @Benchmark
    @OperationsPerInvocation(OPERATIONS)
    public void tensorTimesNumber() {
        try (TensorScope inner = TensorScope.open()) {
            for (int i = 0; i < OPERATIONS; i++) {
                left.mul(0.5);
            }
        }
    }

    /** {@link Tensor#mul(Tensor)} by a retained tensor, which other threads may free, so that each call is counted. */
    @Benchmark
    @OperationsPerInvocation(OPERATIONS)
    public void tensorTimesRetained() {
        try (TensorScope inner = TensorScope.open()) {
            for (int i = 0; i < OPERATIONS; i++) {
                left.mul(retained);
            }
        }
    }

    /**
     * JavaCPP's method and its {@code close()}, with JavaCPP's memory accounting off, as set by {@link Libtorch#load}.
     */
    @Benchmark
    public void bareJavaCpp() {
        rawLeft.mul(rawRight).close();
    }

    /** JavaCPP's method a thousand times, then {@code close()} as often: the lower bound for results that are kept. */
    @Benchmark
    @OperationsPerInvocation(OPERATIONS)
    public void bareJavaCppTogether() {
        org.bytedeco.pytorch.Tensor[] results = new org.bytedeco.pytorch.Tensor[OPERATIONS];
        for (int i = 0; i < OPERATIONS; i++) {
            results[i] = rawLeft.mul(rawRight);
        }
        for (int i = OPERATIONS - 1; i >= 0; i--) {
            results[i].close();
        }
    }

    /** JavaCPP's method with a number, with a native scalar made for the call. */
    @Benchmark
    public void bareJavaCppTimesNumber() {
        try (Scalar scalar = new Scalar(0.5)) {
            rawLeft.mul(scalar).close();
        }
    }

    /** The dispatcher's C function, and the handle's deletion. */
    @Benchmark
    public void dispatcher() {
        StableAbi.delete(multiply.call()
                .tensor(rawLeft.address())
                .tensor(rawRight.address())
                .invoke());
    }

    /** An empty {@link TensorScope}. */
    @Benchmark
    public int openAndClose() {
        try (TensorScope inner = TensorScope.open()) {
            return inner.size();
        }
    }
}
