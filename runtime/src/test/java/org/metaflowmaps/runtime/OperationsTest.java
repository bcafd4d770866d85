package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.metaflowmaps.runtime.Reference.dot;
import static org.metaflowmaps.runtime.Reference.jacobianProduct;
import static org.metaflowmaps.runtime.Reference.map;
import static org.metaflowmaps.runtime.Reference.numbers;
import static org.metaflowmaps.runtime.Reference.rows;
import static org.metaflowmaps.runtime.Reference.sum;
import static org.metaflowmaps.runtime.Reference.zip;

import java.lang.foreign.MemorySegment;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.DoubleBinaryOperator;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every operation against values computed in Java, in double precision. */
class OperationsTest {
    private static final double[] A = {0.5, 1.25, -2, 3, -0.75, 0.1};
    private static final double[] B = {2, -1.5, 0.25, 3, 0.4, -0.7};
    private static final double[] P = {0.3, 1, 2.5, 0.75, 4, 1.5};
    private static final double[] W = {0.1, 0.9, 0.5, 0.25, 0.75, 0.4};
    private static final long[] LIKE_A = {2, 3};

    /** One call: its name, and the expected shape and elements. */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    record Case(String name, long[] shape, double[] expected, double tolerance, Supplier<Tensor> call) {
        @Override
        public String toString() {
            return name + " to " + Arrays.toString(shape);
        }
    }

    private static final List<Case> CASES = new ArrayList<>();

    private static void say(String name, long[] shape, double[] expected, Supplier<Tensor> call) {
        CASES.add(new Case(name, shape, expected, 1e-12, call));
    }

    private static void rough(String name, long[] shape, double[] expected, double tolerance, Supplier<Tensor> call) {
        CASES.add(new Case(name, shape, expected, tolerance, call));
    }

    private static long[] shape(long... sizes) {
        return sizes;
    }

    private static double firstRow() {
        return (2 * A[0] + 3 * A[1] + 2 * A[2]) / 7;
    }

    private static double lastRow() {
        return (2 * A[3] + 3 * A[4] + 2 * A[5]) / 7;
    }

    /** Two rows grown to four, with the weights of the farther row. */
    private static double[] grown(double first, double last, double outer, double inner) {
        return numbers(
                first + outer * (last - first),
                first + inner * (last - first),
                last + inner * (first - last),
                last + outer * (first - last));
    }

    private static Tensor a() {
        return Torch.of(A, 2, 3);
    }

    private static Tensor b() {
        return Torch.of(B, 2, 3);
    }

    private static Tensor p() {
        return Torch.of(P, 2, 3);
    }

    private static Tensor mask() {
        return a().gt(0);
    }

    private static double bool(boolean value) {
        return value ? 1 : 0;
    }

    static {
        arithmetic();
        comparisons();
        reductions();
        shapes();
        inPlace();
        factories();
        networks();
        images();
    }

    private static void both(
            String name, DoubleBinaryOperator expected, Supplier<Tensor> pair, Supplier<Tensor> number) {
        say(name, LIKE_A, zip(A, B, expected), pair);
        say(name, LIKE_A, map(A, x -> expected.applyAsDouble(x, 1.25)), number);
    }

    private static void arithmetic() {
        both("add", (x, y) -> x + y, () -> a().add(b()), () -> a().add(1.25));
        both("sub", (x, y) -> x - y, () -> a().sub(b()), () -> a().sub(1.25));
        both("mul", (x, y) -> x * y, () -> a().mul(b()), () -> a().mul(1.25));
        both("div", (x, y) -> x / y, () -> a().div(b()), () -> a().div(1.25));
        say(
                "add",
                LIKE_A,
                zip(A, numbers(2, 2, 2, 5, 5, 5), Double::sum),
                () -> a().add(Torch.of(numbers(2, 5), 2, 1)));
        say("pow", LIKE_A, map(P, x -> Math.pow(x, 1.7)), () -> p().pow(1.7));
        say("neg", LIKE_A, map(A, x -> -x), () -> a().neg());
        say("abs", LIKE_A, map(A, Math::abs), () -> a().abs());
        say("square", LIKE_A, map(A, x -> x * x), () -> a().square());
        say("sqrt", LIKE_A, map(P, Math::sqrt), () -> p().sqrt());
        say("rsqrt", LIKE_A, map(P, x -> 1 / Math.sqrt(x)), () -> p().rsqrt());
        say("reciprocal", LIKE_A, map(A, x -> 1 / x), () -> a().reciprocal());
        say("exp", LIKE_A, map(A, Math::exp), () -> a().exp());
        say("log", LIKE_A, map(P, Math::log), () -> p().log());
        say("log1p", LIKE_A, map(P, Math::log1p), () -> p().log1p());
        say("sin", LIKE_A, map(A, Math::sin), () -> a().sin());
        say("cos", LIKE_A, map(A, Math::cos), () -> a().cos());
        say("tanh", LIKE_A, map(A, Math::tanh), () -> a().tanh());
        say("sigmoid", LIKE_A, map(A, Reference::sigmoid), () -> a().sigmoid());
        say("erf", LIKE_A, map(A, Reference::erf), () -> a().erf());
        say("erfc", LIKE_A, map(A, x -> 1 - Reference.erf(x)), () -> a().erfc());
        say("floor", LIKE_A, map(A, Math::floor), () -> a().floor());
        say("relu", LIKE_A, map(A, x -> x > 0 ? x : 0), () -> a().relu());
        say("maximum", LIKE_A, zip(A, B, Math::max), () -> a().maximum(b()));
        say("minimum", LIKE_A, zip(A, B, Math::min), () -> a().minimum(b()));
        say("clampMin", LIKE_A, map(A, x -> Math.max(x, 0.2)), () -> a().clampMin(0.2));
        say("clampMax", LIKE_A, map(A, x -> Math.min(x, 0.2)), () -> a().clampMax(0.2));
        say("lerp", LIKE_A, numbers(0.65, -1.225, -0.875, 3, 0.1125, -0.22), () -> a().lerp(b(), Torch.of(W, 2, 3)));
        say("addcmul", LIKE_A, zip(A, zip(B, P, (x, y) -> x * y), Double::sum), () -> Torch.addcmul(a(), b(), p()));
    }

    private static void comparisons() {
        both("eq", (x, y) -> bool(x == y), () -> a().eq(b()), () -> a().eq(1.25));
        both("ne", (x, y) -> bool(x != y), () -> a().ne(b()), () -> a().ne(1.25));
        both("lt", (x, y) -> bool(x < y), () -> a().lt(b()), () -> a().lt(1.25));
        both("le", (x, y) -> bool(x <= y), () -> a().le(b()), () -> a().le(1.25));
        both("gt", (x, y) -> bool(x > y), () -> a().gt(b()), () -> a().gt(1.25));
        both("ge", (x, y) -> bool(x >= y), () -> a().ge(b()), () -> a().ge(1.25));
        say(
                "isFinite",
                shape(3),
                numbers(1, 0, 0),
                () -> Torch.of(numbers(1, Double.POSITIVE_INFINITY, Double.NaN)).isFinite());
        say("logicalNot", LIKE_A, map(A, x -> bool(x <= 0)), () -> mask().logicalNot());
        say("all", shape(), numbers(0), () -> mask().all());
        say("all", shape(), numbers(1), () -> p().gt(0).all());
        say("any", shape(), numbers(1), () -> mask().any());
        say("any", shape(), numbers(0), () -> p().lt(0).any());
        say("where", LIKE_A, zip(A, B, (x, y) -> x > 0 ? x : y), () -> Torch.where(mask(), a(), b()));
        say("maskedFill", LIKE_A, map(A, x -> x > 0 ? 7 : x), () -> a().maskedFill(mask(), 7));
    }

    private static void reductions() {
        say("sum", shape(), numbers(2.1), () -> a().sum());
        say("sum", shape(2), numbers(-0.25, 2.35), () -> a().sum(1));
        say("sumKeepDim", shape(1, 3), numbers(3.5, 0.5, -1.9), () -> a().sumKeepDim(0));
        say("sum", shape(), numbers(2.1), () -> a().sum(0, 1));
        say("sumKeepDim", shape(1, 1), numbers(2.1), () -> a().sumKeepDim(0, -1));
        say("mean", shape(), numbers(2.1 / 6), () -> a().mean());
        say("mean", shape(2), numbers(-0.25 / 3, 2.35 / 3), () -> a().mean(-1));
        say("meanKeepDim", shape(2, 1), numbers(-0.25 / 3, 2.35 / 3), () -> a().meanKeepDim(-1));
        say("max", shape(), numbers(3), () -> a().max());
        say("min", shape(), numbers(-2), () -> a().min());
        say("amax", shape(3), numbers(3, 1.25, 0.1), () -> a().amax(0));
        say("amaxKeepDim", shape(2, 1), numbers(1.25, 3), () -> a().amaxKeepDim(1));
        say("argmax", shape(2), numbers(1, 0), () -> a().argmax(1));
        say(
                "var",
                shape(2),
                numbers(Reference.variance(rows(A, 3)[0]), Reference.variance(rows(A, 3)[1])),
                () -> a().var(1));
        say(
                "varKeepDim",
                shape(2, 1),
                numbers(Reference.variance(rows(A, 3)[0]), Reference.variance(rows(A, 3)[1])),
                () -> a().varKeepDim(1));
        say("norm", shape(), numbers(Math.sqrt(dot(A, A))), () -> a().norm());
        say(
                "logsumexp",
                shape(2),
                Arrays.stream(rows(A, 3))
                        .mapToDouble(row -> Math.log(sum(map(row, Math::exp))))
                        .toArray(),
                () -> a().logsumexp(1));
        say(
                "logsumexpKeepDim",
                shape(2, 1),
                Arrays.stream(rows(A, 3))
                        .mapToDouble(row -> Math.log(sum(map(row, Math::exp))))
                        .toArray(),
                () -> a().logsumexpKeepDim(1));
        say(
                "logsumexp",
                shape(),
                numbers(1000 + Math.log(2)),
                () -> Torch.of(numbers(1000, 1000)).logsumexp(0));
        say("cumsum", LIKE_A, numbers(0.5, 1.75, -0.25, 3, 2.25, 2.35), () -> a().cumsum(1));
        say("softmax", LIKE_A, Reference.eachRow(A, 3, Reference::softmax), () -> a().softmax(1));
        say("logSoftmax", LIKE_A, map(Reference.eachRow(A, 3, Reference::softmax), Math::log), () -> a().logSoftmax(1));
        say(
                "sort",
                LIKE_A,
                numbers(-2, 0.5, 1.25, -0.75, 0.1, 3),
                () -> a().sort(1).values());
        say("sort", LIKE_A, numbers(2, 0, 1, 1, 2, 0), () -> a().sort(1).indices());
        say(
                "topk",
                shape(2, 2),
                numbers(1.25, 0.5, 3, 0.1),
                () -> a().topk(2, 1, true).values());
        say("topk", shape(2, 1), numbers(2, 1), () -> a().topk(1, 1, false).indices());
    }

    private static void shapes() {
        double[] turned = {A[0], A[3], A[1], A[4], A[2], A[5]};
        say("reshape", shape(3, 2), A, () -> a().reshape(3, -1));
        say("reshape", shape(6), turned, () -> a().transpose(0, 1).reshape(6));
        say("view", shape(1, 6), A, () -> a().view(1, 6));
        say("permute", shape(3, 2), turned, () -> a().permute(1, 0));
        say("transpose", shape(3, 2), turned, () -> a().transpose(0, 1));
        say("contiguous", shape(3, 2), turned, () -> a().transpose(0, 1).contiguous());
        say("unsqueeze", shape(2, 1, 3), A, () -> a().unsqueeze(1));
        say("squeeze", shape(2, 3), A, () -> a().unsqueeze(1).squeeze(1));
        say(
                "expand",
                shape(2, 2),
                numbers(1, 1, 2, 2),
                () -> Torch.of(numbers(1, 2), 2, 1).expand(-1, 2));
        say(
                "repeat",
                shape(2, 4),
                numbers(1, 2, 1, 2, 1, 2, 1, 2),
                () -> Torch.of(numbers(1, 2)).repeat(2, 2));
        say(
                "repeatInterleave",
                shape(4),
                numbers(1, 1, 2, 2),
                () -> Torch.of(numbers(1, 2)).repeatInterleave(2, 0));
        say("narrow", shape(2, 2), numbers(A[1], A[2], A[4], A[5]), () -> a().narrow(1, 1, 2));
        say("select", shape(2), numbers(A[2], A[5]), () -> a().select(1, 2));
        say("chunk", shape(2, 1), numbers(A[2], A[5]), () -> a().chunk(2, 1)[1]);
        say(
                "indexSelect",
                shape(2, 2),
                numbers(A[2], A[0], A[5], A[3]),
                () -> a().indexSelect(1, Torch.of(new long[] {2, 0})));
        say("gather", shape(2, 1), numbers(A[2], A[4]), () -> a().gather(1, Torch.of(new long[] {2, 1}, 2, 1)));
        say("flip", LIKE_A, numbers(A[2], A[1], A[0], A[5], A[4], A[3]), () -> a().flip(1));
        say(
                "cat",
                shape(2, 4),
                numbers(A[0], A[1], A[2], 8, A[3], A[4], A[5], 9),
                () -> Torch.cat(1, a(), Torch.of(numbers(8, 9), 2, 1)));
        say("stack", shape(2, 2, 3), Reference.concat(A, B), () -> Torch.stack(0, a(), b()));
        say("to", LIKE_A, map(A, x -> (float) x), () -> a().to(DType.FLOAT32));
        say("to", LIKE_A, map(A, x -> (long) x), () -> a().to(DType.INT64));
        say("to", LIKE_A, A, () -> a().to(Device.CPU));
        say("detach", LIKE_A, A, () -> a().detach());
        say("clone", LIKE_A, A, () -> a().clone());
        say("requiresGrad_", LIKE_A, A, () -> a().requiresGrad_(true));
        say("wrap", LIKE_A, A, () -> JavaCpp.wrap(JavaCpp.unwrap(a())));
        say("retain", LIKE_A, A, () -> keepAgain(a().retain()));
    }

    /** Returns a copy that belongs to the test's scope, because the caller would own a retained tensor. */
    private static Tensor keepAgain(Tensor retained) {
        try (retained) {
            return retained.clone();
        }
    }

    private static void inPlace() {
        both("add_", (x, y) -> x + y, () -> a().add_(b()), () -> a().add_(1.25));
        both("sub_", (x, y) -> x - y, () -> a().sub_(b()), () -> a().sub_(1.25));
        both("mul_", (x, y) -> x * y, () -> a().mul_(b()), () -> a().mul_(1.25));
        both("div_", (x, y) -> x / y, () -> a().div_(b()), () -> a().div_(1.25));
        say("copy_", LIKE_A, map(B, x -> (float) x), () -> a().copy_(b().to(DType.FLOAT32)));
        say("zero_", LIKE_A, map(A, x -> 0), () -> a().zero_());
        say("exp_", LIKE_A, map(A, Math::exp), () -> a().exp_());
        say("fill_", LIKE_A, map(A, x -> 1.1), () -> a().fill_(1.1));
        say("relu_", LIKE_A, map(A, x -> x > 0 ? x : 0), () -> a().relu_());
        say("lerp_", LIKE_A, zip(A, B, (x, y) -> x + 0.3 * (y - x)), () -> a().lerp_(b(), 0.3));
        say(
                "addcmul_",
                LIKE_A,
                zip(A, zip(B, P, (x, y) -> 0.3 * x * y), Double::sum),
                () -> a().addcmul_(b(), p(), 0.3));
        say(
                "addcdiv_",
                LIKE_A,
                zip(A, zip(B, P, (x, y) -> 0.3 * x / y), Double::sum),
                () -> a().addcdiv_(b(), p(), 0.3));
        say("sqrt_", LIKE_A, map(P, Math::sqrt), () -> p().sqrt_());
    }

    private static void factories() {
        say("zeros", shape(2, 1), numbers(0, 0), () -> Torch.zeros(2, 1));
        say("zeros", shape(0, 3), numbers(), () -> Torch.zeros(DType.INT64, Device.CPU, 0, 3));
        say(
                "empty",
                shape(2),
                numbers(4, 4),
                () -> Torch.empty(DType.BFLOAT16, Device.CPU, 2).fill_(4));
        say("full", shape(2), numbers(0.1, 0.1), () -> Torch.full(0.1, DType.FLOAT64, Device.CPU, 2));
        say("zerosLike", LIKE_A, map(A, x -> 0), () -> Torch.zerosLike(a()));
        say("onesLike", LIKE_A, map(A, x -> 1), () -> Torch.onesLike(a()));
        say("linspace", shape(5), numbers(-1, -0.5, 0, 0.5, 1), () -> Torch.linspace(-1, 1, 5));
        say("arange", shape(4), numbers(0, 1, 2, 3), () -> Torch.arange(4));
        say("of", shape(2), numbers(0.5f, 0.1f), () -> Torch.of(new float[] {0.5f, 0.1f}));
        say("of", shape(1, 2), numbers(3, -4), () -> Torch.of(new long[] {3, -4}, 1, 2));
        say("of", shape(0), numbers(), () -> Torch.of(new double[0]));
        say(
                "copyOf",
                shape(1, 2),
                numbers(3, -4),
                () -> Torch.copyOf(MemorySegment.ofArray(new long[] {3, -4}), DType.INT64, 1, 2));
        say("scalar", shape(), numbers(0.1f), () -> Torch.scalar(0.1));
    }

    private static void networks() {
        double[] products = new double[4];
        for (int i = 0; i < 4; i++) {
            products[i] = dot(rows(A, 3)[i / 2], rows(B, 3)[i % 2]);
        }
        say("matmul", shape(2, 2), products, () -> a().matmul(b().transpose(0, 1)));
        say("linear", shape(2, 2), products, () -> Torch.linear(a(), b()));
        say(
                "addmm_",
                shape(2, 2),
                zip(products, numbers(10, 20, 30, 40), Double::sum),
                () -> Torch.of(numbers(10, 20, 30, 40), 2, 2).addmm_(a(), b().transpose(0, 1)));
        say(
                "baddbmm_",
                shape(1, 2, 2),
                zip(products, numbers(10, 20, 30, 40), Double::sum),
                () -> Torch.of(numbers(10, 20, 30, 40), 1, 2, 2)
                        .baddbmm_(a().unsqueeze(0), b().unsqueeze(0).transpose(1, 2)));
        say(
                "linear",
                shape(2, 2),
                zip(products, numbers(10, 20, 10, 20), Double::sum),
                () -> Torch.linear(a(), b(), Torch.of(numbers(10, 20))));
        say(
                "conv2d",
                shape(1, 1, 1, 1),
                numbers(dot(A, B) + 10),
                () -> Torch.conv2d(a().view(1, 1, 2, 3), b().view(1, 1, 2, 3), Torch.of(numbers(10)), 0));
        // A 3 x 3 kernel with 1 in the middle is the identity; with 1 one row higher it moves the image down.
        say(
                "conv2d",
                shape(1, 2, 2, 3),
                Reference.concat(map(A, x -> x - 1), numbers(2, 2, 2, A[0] + 2, A[1] + 2, A[2] + 2)),
                () -> Torch.conv2d(
                        a().view(1, 1, 2, 3),
                        Torch.of(numbers(0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0), 2, 1, 3, 3),
                        Torch.of(numbers(-1, 2)),
                        1));
        say("maxPool2d", shape(1, 1, 1, 1), numbers(3), () -> Torch.maxPool2d(a().view(1, 1, 2, 3), 2));
        say(
                "upsampleNearest2d",
                shape(1, 1, 4, 2),
                numbers(A[0], A[1], A[0], A[1], A[3], A[4], A[3], A[4]),
                () -> Torch.upsampleNearest2d(a().view(1, 1, 2, 3), 4, 2));
        // Growing by 2 mixes neighbours 3:1. From 3 to 1, a triangle of width 6 around the middle weighs them 2:3:2.
        say(
                "upsampleBilinear2d",
                shape(1, 1, 4, 1),
                Reference.concat(
                        numbers(firstRow(), 0.75 * firstRow() + 0.25 * lastRow()),
                        numbers(0.25 * firstRow() + 0.75 * lastRow(), lastRow())),
                () -> Torch.upsampleBilinear2d(a().view(1, 1, 2, 3), 4, 1));
        // The cubic widened to 3 pixels has weights 7:9:7 at distances -1, 0 and 1.
        double first = (7 * A[0] + 9 * A[1] + 7 * A[2]) / 23;
        double last = (7 * A[3] + 9 * A[4] + 7 * A[5]) / 23;
        double outer = -0.0703125 / 0.796875;
        double inner = 0.2265625 / 1.09375;
        say(
                "upsampleBicubic2d",
                shape(1, 1, 4, 1),
                grown(first, last, outer, inner),
                () -> Torch.upsampleBicubic2d(a().view(1, 1, 2, 3), 4, 1));
        say(
                "interpolateBilinear2d",
                shape(1, 1, 4, 1),
                grown(A[1], A[4], 0, 0.25),
                () -> Torch.interpolateBilinear2d(a().view(1, 1, 2, 3), 4, 1));
        say(
                "interpolateBicubic2d",
                shape(1, 1, 4, 1),
                grown(A[1], A[4], -0.10546875, 0.2265625),
                () -> Torch.interpolateBicubic2d(a().view(1, 1, 2, 3), 4, 1));
        double[] logs = map(Reference.eachRow(A, 3, Reference::softmax), Math::log);
        say(
                "crossEntropy",
                shape(),
                numbers(-(logs[2] + logs[3]) / 2),
                () -> Torch.crossEntropy(a(), Torch.of(new long[] {2, 0}), 0));
        say(
                "crossEntropy",
                shape(),
                numbers(-0.7 * (logs[2] + logs[3]) / 2 - 0.3 * sum(logs) / 6),
                () -> Torch.crossEntropy(a(), Torch.of(new long[] {2, 0}), 0.3));
        say(
                "asStrided",
                shape(2, 2),
                numbers(1, 3, 2, 4),
                () -> Torch.of(numbers(1, 2, 3, 4, 5, 6), 6).asStrided(new long[] {2, 2}, new long[] {1, 2}));
        say("linalgEigvalsh", shape(2), numbers(1, 3), () -> Torch.linalgEigvalsh(Torch.of(numbers(2, 1, 1, 2), 2, 2)));
        say(
                "linalgEigh",
                shape(2),
                numbers(1, 3),
                () -> Torch.linalgEigh(Torch.of(numbers(2, 1, 1, 2), 2, 2)).values());
        say(
                "linalgEigh",
                shape(2, 2),
                numbers(0.5, 0.5, 0.5, 0.5),
                () -> Torch.linalgEigh(Torch.of(numbers(2, 1, 1, 2), 2, 2))
                        .vectors()
                        .square());
        say(
                "embedding",
                shape(2, 1, 3),
                Reference.concat(rows(A, 3)[1], rows(A, 3)[0]),
                () -> Torch.embedding(a(), Torch.of(new long[] {1, 0}, 2, 1)));
        say("silu", LIKE_A, map(A, Reference::silu), () -> Torch.silu(a()));
        say("geluTanh", LIKE_A, map(A, Reference::geluTanh), () -> Torch.geluTanh(a()));
        rough(
                "siluBackward",
                LIKE_A,
                zip(B, map(A, Reference.derivative(Reference::silu)), (g, d) -> g * d),
                1e-8,
                () -> Torch.siluBackward(b(), a()));
        rough(
                "geluTanhBackward",
                LIKE_A,
                zip(B, map(A, Reference.derivative(Reference::geluTanh)), (g, d) -> g * d),
                1e-8,
                () -> Torch.geluTanhBackward(b(), a()));
        rough(
                "tanhBackward",
                LIKE_A,
                zip(B, map(A, Reference.derivative(Math::tanh)), (g, d) -> g * d),
                1e-8,
                () -> Torch.tanhBackward(b(), a().tanh()));
        rough(
                "softmaxBackward",
                LIKE_A,
                jacobianProduct(A, B, 3, Reference::softmax),
                1e-8,
                () -> Torch.softmaxBackward(b(), a().softmax(1), 1));
        say(
                "layerNorm",
                LIKE_A,
                Reference.eachRow(A, 3, Reference::layerNorm),
                () -> Torch.layerNorm(a(), Reference.EPS).output());
        say(
                "layerNorm",
                shape(2, 1),
                numbers(-0.25 / 3, 2.35 / 3),
                () -> Torch.layerNorm(a(), Reference.EPS).mean());
        say(
                "layerNorm",
                shape(2, 1),
                Arrays.stream(rows(A, 3)).mapToDouble(Reference::rstd).toArray(),
                () -> Torch.layerNorm(a(), Reference.EPS).rstd());
        rough("layerNormBackward", LIKE_A, jacobianProduct(A, B, 3, Reference::layerNorm), 1e-8, () -> {
            Torch.Normalised normal = Torch.layerNorm(a(), Reference.EPS);
            return Torch.layerNormBackward(b(), a(), normal.mean(), normal.rstd());
        });
        say(
                "scaledDotProductAttention",
                shape(1, 1, 2, 3),
                Reference.attention(A, B, P, 3),
                () -> Torch.scaledDotProductAttention(
                        a().view(1, 1, 2, 3), b().view(1, 1, 2, 3), p().view(1, 1, 2, 3)));
        say(
                "fusedAttention",
                shape(1, 1, 2, 3),
                Reference.attention(A, B, P, 3),
                () -> Torch.fusedAttention(a().view(1, 1, 2, 3), b().view(1, 1, 2, 3), p().view(1, 1, 2, 3))
                        .output());
    }

    private static Tensor image() {
        return a().view(1, 1, 2, 3);
    }

    private static void images() {
        // Steps of two columns over one column of padding at each edge read 0, the middle and 0.
        say(
                "conv2d",
                shape(1, 1, 2, 3),
                numbers(0, 2 * A[1], 0, 0, 2 * A[4], 0),
                () -> Torch.conv2d(
                        image(), Torch.of(numbers(2), 1, 1, 1, 1), null, new long[] {1, 2}, new long[] {0, 1}, 1));
        say(
                "conv2d",
                shape(1, 2, 1, 3),
                Reference.concat(map(rows(A, 3)[0], x -> 2 * x + 1), map(rows(A, 3)[1], x -> 3 * x - 1)),
                () -> Torch.conv2d(
                        a().view(1, 2, 1, 3),
                        Torch.of(numbers(2, 3), 2, 1, 1, 1),
                        Torch.of(numbers(1, -1)),
                        new long[] {1, 1},
                        new long[] {0, 0},
                        2));
        say("maxPool2d", shape(1, 1, 2, 3), numbers(3, 3, 1.25, 3, 3, 1.25), () -> Torch.maxPool2d(image(), 3, 1, 1));
        double left = A[0] + A[1] + A[3] + A[4];
        double right = A[1] + A[2] + A[4] + A[5];
        say(
                "avgPool2d",
                shape(1, 1, 2, 3),
                numbers(left / 4, sum(A) / 6, right / 4, left / 4, sum(A) / 6, right / 4),
                () -> Torch.avgPool2d(image(), 3, 1, 1, false));
        say(
                "avgPool2d",
                shape(1, 1, 1, 2),
                numbers(left / 9, right / 9),
                () -> Torch.avgPool2d(image(), 3, 2, 1, true));
        say(
                "pad",
                shape(3, 4),
                numbers(7, A[0], A[1], A[2], 7, A[3], A[4], A[5], 7, 7, 7, 7),
                () -> Torch.pad(a(), new long[] {1, 0, 0, 1}, 7));
        double[] gains = {2, 2, 2, -3, -3, -3};
        double[] offsets = {1, 1, 1, 0.5, 0.5, 0.5};
        say(
                "groupNorm",
                shape(1, 2, 3),
                zip(zip(Reference.layerNorm(A), gains, (x, g) -> x * g), offsets, Double::sum),
                () -> Torch.groupNorm(
                        a().view(1, 2, 3), 1, Torch.of(numbers(2, -3)), Torch.of(numbers(1, 0.5)), Reference.EPS));
        say(
                "groupNorm",
                shape(1, 2, 3),
                Reference.eachRow(A, 3, Reference::layerNorm),
                () -> Torch.groupNorm(
                        a().view(1, 2, 3), 2, Torch.of(numbers(1, 1)), Torch.of(numbers(0, 0)), Reference.EPS));
        say(
                "batchNorm",
                shape(1, 2, 3),
                zip(
                        zip(
                                zip(A, numbers(4, 4, 4, 5, 5, 5), (x, mean) -> x - mean),
                                numbers(9, 9, 9, 16, 16, 16),
                                (x, variance) -> x / Math.sqrt(variance + Reference.EPS)),
                        gains,
                        (x, g) -> x * g + (g == 2 ? 1 : 0.5)),
                () -> Torch.batchNorm(
                        a().view(1, 2, 3),
                        Torch.of(numbers(4, 5)),
                        Torch.of(numbers(9, 16)),
                        Torch.of(numbers(2, -3)),
                        Torch.of(numbers(1, 0.5)),
                        Reference.EPS));
        say(
                "layerNorm",
                LIKE_A,
                zip(
                        zip(Reference.eachRow(A, 3, Reference::layerNorm), numbers(2, 3, 4, 2, 3, 4), (x, g) -> x * g),
                        numbers(1, 0, -1, 1, 0, -1),
                        Double::sum),
                () -> Torch.layerNorm(a(), Torch.of(numbers(2, 3, 4)), Torch.of(numbers(1, 0, -1)), Reference.EPS));
        say("gelu", LIKE_A, map(A, x -> x / 2 * (1 + Reference.erf(x / Math.sqrt(2)))), () -> Torch.gelu(a()));
        say(
                "scaledDotProductAttention",
                shape(1, 1, 2, 3),
                Reference.concat(rows(P, 3)[0], rows(P, 3)[0]),
                () -> Torch.scaledDotProductAttention(
                        image(),
                        b().view(1, 1, 2, 3),
                        p().view(1, 1, 2, 3),
                        Torch.of(new long[] {1, 0}, 1, 1, 1, 2).ne(0)));
        say(
                "causalAttention",
                shape(1, 1, 2, 3),
                Reference.concat(rows(P, 3)[0], rows(Reference.attention(A, B, P, 3), 3)[1]),
                () -> Torch.causalAttention(image(), b().view(1, 1, 2, 3), p().view(1, 1, 2, 3)));
    }

    static Stream<Case> cases() {
        return CASES.stream();
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("cases")
    void givesTheValuesOfItsDefinition(Case test) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor result = test.call.get();
            assertEquals(Shape.of(test.shape), result.shape());
            assertArrayEquals(test.expected, result.toDoubleArray(), test.tolerance);
        }
    }

    /** Fails if an operation has no case above. */
    @Test
    void everyOperationHasACase() {
        Set<Class<?>> results = Set.of(
                Tensor.class,
                Tensor[].class,
                Tensor.Sorted.class,
                Torch.Normalised.class,
                Torch.Attention.class,
                Torch.Eigen.class);
        Set<String> named = CASES.stream().map(Case::name).collect(Collectors.toCollection(TreeSet::new));
        Set<String> existing = Stream.of(Tensor.class, Torch.class, JavaCpp.class)
                .flatMap(type -> Arrays.stream(type.getDeclaredMethods()))
                .filter(method -> Modifier.isPublic(method.getModifiers()) && !method.isSynthetic())
                .filter(method -> results.contains(method.getReturnType()))
                .map(Method::getName)
                .collect(Collectors.toCollection(TreeSet::new));
        assertEquals(existing, named);
    }

    @Test
    void comparisonsGiveTruthValuesAndIndicesAreLong() {
        try (TensorScope scope = TensorScope.open()) {
            assertEquals(DType.BOOL, a().le(b()).dtype());
            assertEquals(DType.BOOL, a().isFinite().dtype());
            assertEquals(DType.INT64, a().argmax(0).dtype());
            assertEquals(DType.INT64, a().sort(0).indices().dtype());
            assertEquals(DType.FLOAT32, Torch.linspace(0, 1, 2).dtype());
            assertEquals(DType.INT64, Torch.arange(2).dtype());
        }
    }

    /** Loshchilov and Hutter, "Decoupled weight decay regularization", algorithm 2, in double precision. */
    @Test
    void fusedAdamWTakesTheStepOfItsPaper() {
        Torch.AdamRates rates = new Torch.AdamRates(0.9, 0.99, 0.1, 1e-8);
        double[] value = A.clone();
        double[] mean = new double[6];
        double[] square = new double[6];
        try (TensorScope scope = TensorScope.open()) {
            Tensor values = a().to(DType.FLOAT32);
            Tensor gradient = b().to(DType.FLOAT32);
            Tensor average = Torch.zerosLike(values);
            Tensor squares = Torch.zerosLike(values);
            for (int step = 1; step <= 3; step++) {
                Torch.fusedAdamW_(
                        values,
                        gradient,
                        average,
                        squares,
                        new Torch.AdamScalars(Torch.scalar(step), Torch.scalar(0.01), Torch.scalar(0)),
                        rates);
                Torch.fusedAdamW_(
                        values,
                        gradient.div(0),
                        average,
                        squares,
                        new Torch.AdamScalars(Torch.scalar(step), Torch.scalar(0.01), Torch.scalar(1)),
                        rates);
                for (int i = 0; i < 6; i++) {
                    mean[i] = 0.9 * mean[i] + 0.1 * B[i];
                    square[i] = 0.99 * square[i] + 0.01 * B[i] * B[i];
                    double update = mean[i]
                            / (1 - Math.pow(0.9, step))
                            / (Math.sqrt(square[i] / (1 - Math.pow(0.99, step))) + 1e-8);
                    value[i] += -0.01 * update - 0.01 * 0.1 * value[i];
                }
            }
            assertArrayEquals(value, values.toDoubleArray(), 1e-5);
            assertArrayEquals(mean, average.toDoubleArray(), 1e-6);
            assertArrayEquals(square, squares.toDoubleArray(), 1e-6);
        }
    }
}
