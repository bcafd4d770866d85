package org.metaflowmaps.models.layer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Close.assertClose;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.metaflowmaps.models.model.ReverseTwice;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

final class DualTest {
    private static final double EXACT = 1e-12;

    /** An operation and the shapes of its operands; in float64, so that rounding does not hide a wrong rule. */
    record Operation(String name, Function<Dual[], Dual> body, Function<Dual[], Dual> elementary, List<long[]> shapes) {
        Operation(String name, Function<Dual[], Dual> body, long[]... shapes) {
            this(name, body, body, List.of(shapes));
        }

        /** The same operation from elementary operators, if libtorch cannot differentiate its operator three times. */
        Operation elementarily(Function<Dual[], Dual> other) {
            return new Operation(name, body, other, shapes);
        }

        @Override
        public String toString() {
            return name;
        }
    }

    private static long[] of(long... shape) {
        return shape;
    }

    private static Tensor constant(long seed, long... shape) {
        try (RandomSource random = RandomSource.seeded(seed)) {
            return random.normal(shape).to(DType.FLOAT64);
        }
    }

    static Stream<Operation> operations() {
        return Stream.of(
                new Operation("add", d -> d[0].add(d[1]), of(2, 3), of(2, 3)),
                new Operation("add, right broadcast", d -> d[0].add(d[1]), of(2, 3), of(1, 3)),
                new Operation("add, both broadcast", d -> d[0].add(d[1]), of(2, 1), of(1, 3)),
                new Operation("sub, both broadcast", d -> d[0].sub(d[1]), of(2, 1), of(3)),
                new Operation("mul, both broadcast", d -> d[0].mul(d[1]), of(2, 1, 4), of(3, 1)),
                new Operation("mul of itself", d -> d[0].mul(d[0]), of(2, 3)),
                new Operation("mul by number", d -> d[0].mul(-1.7), of(2, 3)),
                new Operation("add number", d -> d[0].add(0.3).mul(d[0]), of(2, 3)),
                new Operation("addcmul", d -> d[0].addcmul(d[1], d[2]), of(2, 3), of(2, 3), of(2, 3)),
                new Operation(
                        "addcmul, modulation", d -> d[0].addcmul(d[1], d[2]), of(2, 1, 4), of(2, 3, 4), of(2, 1, 4)),
                new Operation("addcmul, gate", d -> d[0].addcmul(d[1], d[2]), of(2, 3, 4), of(2, 1, 4), of(2, 3, 4)),
                new Operation(
                        "addcmul, all broadcast", d -> d[0].addcmul(d[1], d[2]), of(2, 1, 1), of(1, 3, 1), of(1, 1, 4)),
                new Operation("sin", d -> d[0].sin(), of(2, 3)),
                new Operation("cos", d -> d[0].cos(), of(2, 3)),
                new Operation("silu", d -> d[0].silu(), of(2, 3)),
                new Operation("gelu", d -> d[0].geluTanh(), of(2, 3)),
                new Operation("linear", d -> d[0].linear(constant(1, 5, 4), constant(2, 5)), of(2, 3, 4)),
                new Operation("linear, no bias", d -> d[0].linear(constant(1, 5, 4)), of(3, 4)),
                new Operation("layer norm", d -> d[0].layerNorm(1e-3), of(2, 3, 8))
                        .elementarily(d -> Dual.constant(layerNorm(d[0].primal()))),
                new Operation("layer norm of a view", d -> d[0].transpose(0, 1).layerNorm(1e-3), of(2, 3, 8))
                        .elementarily(d -> Dual.constant(layerNorm(d[0].primal().transpose(0, 1)))),
                new Operation("rms norm", d -> d[0].rmsNorm(constant(3, 8), 1e-3), of(2, 3, 8)),
                new Operation("softmax", d -> d[0].softmax(), of(2, 3, 5)),
                new Operation("matmul", d -> d[0].matmul(d[1]), of(2, 3, 4), of(2, 4, 5)),
                new Operation("matmul, broadcast", d -> d[0].matmul(d[1]), of(2, 3, 4), of(4, 5)),
                new Operation(
                        "attention",
                        d -> Dual.attention(d[0], d[1], d[2]),
                        of(2, 2, 3, 4),
                        of(2, 2, 5, 4),
                        of(2, 2, 5, 4)),
                new Operation("attention over one projection", d -> attention(d[0]), of(2, 3, 24)),
                new Operation("reshape", d -> d[0].reshape(3, -1), of(2, 6)),
                new Operation("permute", d -> d[0].permute(2, 0, 1), of(2, 3, 4)),
                new Operation("transpose", d -> d[0].transpose(0, 2), of(2, 3, 4)),
                new Operation("unsqueeze", d -> d[0].unsqueeze(1), of(2, 3)),
                new Operation("narrow", d -> d[0].narrow(1, 1, 2), of(2, 4)),
                new Operation("select", d -> d[0].select(1, 2), of(2, 4)),
                new Operation("chunk", d -> d[0].chunk(3, 1)[1], of(2, 6)),
                new Operation("chunk, last dimension", d -> d[0].chunk(2, -1)[1], of(2, 6)),
                new Operation("cat", d -> Dual.cat(1, d[0], d[1], d[0]), of(2, 2), of(2, 3)));
    }

    private static Dual attention(Dual joined) {
        Dual all = joined.reshape(2, 3, 3, 2, 4).permute(2, 0, 3, 1, 4);
        return Dual.attention(all.select(0, 0), all.select(0, 1), all.select(0, 2))
                .transpose(1, 2)
                .reshape(2, 3, 8);
    }

    private static Tensor layerNorm(Tensor input) {
        Tensor centred = input.sub(input.meanKeepDim(-1));
        return centred.mul(centred.square().meanKeepDim(-1).add(1e-3).rsqrt());
    }

    /** Every non-empty set of varying operands. */
    private static int choices(Operation operation) {
        return 1 << operation.shapes.size();
    }

    @ParameterizedTest
    @MethodSource("operations")
    void tangentIsThatOfLibtorchsForwardMode(Operation operation) {
        for (int choice = 1; choice < choices(operation); choice++) {
            try (TensorScope scope = TensorScope.open();
                    RandomSource random = RandomSource.seeded(choice);
                    ForwardMode oracle = new ForwardMode()) {
                Dual[] ours = new Dual[operation.shapes.size()];
                Dual[] theirs = new Dual[operation.shapes.size()];
                for (int i = 0; i < ours.length; i++) {
                    Tensor value = random.normal(operation.shapes.get(i)).to(DType.FLOAT64);
                    Tensor tangent = random.normal(operation.shapes.get(i)).to(DType.FLOAT64);
                    boolean varies = (choice >> i & 1) == 1;
                    ours[i] = varies ? Dual.of(value, tangent) : Dual.constant(value);
                    theirs[i] = Dual.constant(varies ? oracle.dual(value, tangent) : value);
                }
                Tensor expected = operation.body.apply(theirs).primal();
                assertClose(operation.elementary.apply(ours).primal(), expected, EXACT, operation + ": elementarily");
                Dual actual = operation.body.apply(ours);
                String what = operation + ", operands " + Integer.toBinaryString(choice);
                assertClose(expected, actual.primal(), EXACT, what + ": value");
                assertNotNull(actual.tangent(), what + ": a tangent");
                assertClose(oracle.tangent(expected), actual.tangentOrZero(), EXACT, what + ": tangent");
            }
        }
    }

    @ParameterizedTest
    @MethodSource("operations")
    void gradientsThroughATangentAreThoseOfTwoReversePasses(Operation operation) {
        for (int choice = 1; choice < choices(operation); choice++) {
            try (TensorScope scope = TensorScope.open();
                    RandomSource random = RandomSource.seeded(choice);
                    ForwardMode.PlainAttention plain = new ForwardMode.PlainAttention()) {
                List<Tensor> values = new ArrayList<>();
                List<Tensor> varying = new ArrayList<>();
                List<Tensor> tangents = new ArrayList<>();
                Dual[] operands = new Dual[operation.shapes.size()];
                for (int i = 0; i < operands.length; i++) {
                    Tensor value = random.normal(operation.shapes.get(i))
                            .to(DType.FLOAT64)
                            .requiresGrad_(true);
                    values.add(value);
                    operands[i] = Dual.constant(value);
                    if ((choice >> i & 1) == 1) {
                        Tensor tangent = random.normal(operation.shapes.get(i))
                                .to(DType.FLOAT64)
                                .requiresGrad_(true);
                        varying.add(value);
                        tangents.add(tangent);
                        operands[i] = Dual.through(value, tangent);
                    }
                }
                Dual result = operation.body.apply(operands);
                Tensor weights = random.normal(result.primal().shape()).to(DType.FLOAT64);
                Tensor ours = result.tangentOrZero().mul(weights).sum();

                Tensor output = operation
                        .elementary
                        .apply(values.stream().map(Dual::constant).toArray(Dual[]::new))
                        .primal();
                Tensor theirs = ReverseTwice.tangent(output, varying, tangents)
                        .mul(weights)
                        .sum();

                List<Tensor> sources =
                        Stream.concat(values.stream(), tangents.stream()).toList();
                List<Tensor> expected = Autograd.gradients(touching(theirs, sources), sources);
                List<Tensor> actual = Autograd.gradients(touching(ours, sources), sources);
                for (int i = 0; i < sources.size(); i++) {
                    assertClose(
                            expected.get(i),
                            actual.get(i),
                            EXACT,
                            operation + ", operands " + choice + ", gradient " + i);
                }
            }
        }
    }

    /** Adds each source's sum, because libtorch does not differentiate with respect to unused tensors. */
    private static Tensor touching(Tensor number, List<Tensor> sources) {
        Tensor sum = number;
        for (Tensor source : sources) {
            sum = sum.add(source.sum());
        }
        return sum;
    }

    @Test
    void constantsHaveNoTangentAndOrdinaryTangentsNoGraph() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor value = constant(1, 2, 3).requiresGrad_(true);
            Dual fixed = Dual.constant(value).silu().mul(Dual.constant(value));
            assertNull(fixed.tangent());
            assertArrayEquals(new double[6], fixed.tangentOrZero().toDoubleArray());

            Dual moving = Dual.of(value, constant(2, 2, 3)).silu().mul(Dual.constant(value));
            assertTrue(moving.primal().requiresGrad());
            assertFalse(moving.tangentOrZero().requiresGrad());
            assertTrue(Autograd.isRecording());

            Dual through = Dual.through(value, constant(2, 2, 3)).add(1).silu().mul(Dual.constant(value));
            assertTrue(through.tangentOrZero().requiresGrad());
            try (Autograd.Mode off = Autograd.noGrad()) {
                assertFalse(Dual.through(value, constant(2, 2, 3))
                        .silu()
                        .tangentOrZero()
                        .requiresGrad());
            }
        }
    }

    @Test
    void tangentOfAnotherShapeIsRefused() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor value = constant(1, 2, 3);
            Tensor tangent = constant(2, 3, 2);
            assertRefused(() -> Dual.of(value, tangent), "[3, 2]", "[2, 3]");
            assertRefused(() -> Dual.through(value, tangent), "[3, 2]", "[2, 3]");
            Tensor same = constant(3, 2, 3);
            assertSame(same, Dual.of(value, same).tangent());
        }
    }

    @Test
    void partsAreRefusedWhereTheyDoNotDivide() {
        try (TensorScope scope = TensorScope.open()) {
            Dual six = Dual.constant(constant(1, 2, 6));
            assertEquals(3, six.chunk(3, 1).length);
            assertRefused(() -> six.chunk(4, 1), "4", "[2, 6]");
        }
    }
}
