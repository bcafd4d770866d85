package org.metaflowmaps.models.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** SmallNetworks under autocast compared with float32: values, both tangents, gradients, gradients through tangents. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class MixedPrecisionTest {
    /** Bfloat16 has a relative error of up to 2^-9, about 0.002; about ten roundings accumulate here. */
    private static final double ROUNDINGS = 0.02;

    private Map<String, MetaFlowMap> networks = Map.of();

    @BeforeAll
    void open() {
        networks = SmallNetworks.all();
    }

    @AfterAll
    void close() {
        networks.values().forEach(MetaFlowMap::close);
    }

    Stream<String> names() {
        return networks.keySet().stream();
    }

    private MetaFlowMap network(String name) {
        return Objects.requireNonNull(networks.get(name));
    }

    private record Point(Tensor start, Tensor end, Tensor state, Tensor rate, Context context) {
        static Point random(MetaFlowMap map, RandomSource random) {
            Tensor state = SmallNetworks.items(map, random);
            return new Point(
                    random.uniform(SmallNetworks.BATCH),
                    random.uniform(SmallNetworks.BATCH),
                    state,
                    random.normal(state.shape()),
                    SmallNetworks.context(map, random));
        }

        /** Along (1, 0, x̄'). */
        Dual alongStart(MetaFlowMap map) {
            return map.averageVelocity(
                    Dual.of(start, Torch.onesLike(start)), Dual.constant(end), Dual.of(state, rate), context);
        }

        /** Along (0, 1, 0). */
        Dual alongEnd(MetaFlowMap map, boolean through) {
            Tensor one = Torch.onesLike(end);
            return map.averageVelocity(
                    Dual.constant(start),
                    through ? Dual.through(end, one) : Dual.of(end, one),
                    Dual.constant(state),
                    context);
        }
    }

    /** Returns the distance relative to the size, both as Euclidean norms. */
    private static double apart(Tensor expected, Tensor actual) {
        try (Autograd.Mode off = Autograd.noGrad()) {
            return actual.sub(expected).norm().item() / expected.norm().item();
        }
    }

    private static void assertNear(Tensor expected, Tensor actual, String what) {
        assertEquals(DType.FLOAT32, actual.dtype(), what);
        double apart = apart(expected, actual);
        assertTrue(apart < ROUNDINGS, what + " is apart by " + apart + " of its size");
        assertTrue(apart > 1e-6, what + " is apart by only " + apart + ": nothing was rounded");
    }

    private static Autocast bfloat16() {
        return Autocast.bfloat16(Device.Type.CPU);
    }

    @ParameterizedTest
    @MethodSource("names")
    void valueAndTangentsAreThoseOfFloat32(String name) {
        MetaFlowMap map = network(name);
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(5)) {
            Point at = Point.random(map, random);
            Dual start = at.alongStart(map);
            Dual end = at.alongEnd(map, false);
            try (Autocast on = bfloat16()) {
                Dual mixed = at.alongStart(map);
                assertNear(start.primal(), mixed.primal(), name + ": value");
                assertNear(start.tangentOrZero(), mixed.tangentOrZero(), name + ": tangent along the start");
                assertTrue(mixed.primal().requiresGrad());
                assertFalse(mixed.tangentOrZero().requiresGrad());
                assertNear(
                        end.tangentOrZero(), at.alongEnd(map, false).tangentOrZero(), name + ": tangent along the end");
                assertNear(
                        end.tangentOrZero(), at.alongEnd(map, true).tangentOrZero(), name + ": differentiable tangent");
                try (Autograd.Mode off = Autograd.noGrad()) {
                    assertEquals(
                            0, apart(mixed.primal(), at.alongStart(map).primal()), "the same numbers without a graph");
                }
            }
        }
    }

    /** With a detached evaluation first, as in the losses, and the backward pass outside. */
    @ParameterizedTest
    @MethodSource("names")
    void gradientsAreThoseOfFloat32(String name) {
        MetaFlowMap map = network(name);
        Tensor gradients = map.parameters().gradients();
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(6)) {
            Point at = Point.random(map, random);
            Tensor weights = random.normal(at.state.shape());
            for (boolean through : new boolean[] {false, true}) {
                gradients.zero_();
                Autograd.backward(loss(map, at, weights, through));
                Tensor exact = gradients.clone();
                gradients.zero_();
                Tensor loss;
                try (Autocast on = bfloat16()) {
                    try (Autograd.Mode off = Autograd.noGrad()) {
                        at.alongStart(map);
                    }
                    loss = loss(map, at, weights, through);
                }
                Autograd.backward(loss);
                assertNear(exact, gradients, name + (through ? ": gradient through the tangent" : ": gradient"));
                assertEquals(DType.FLOAT32, map.parameters().values().dtype());
            }
        }
    }

    private static Tensor loss(MetaFlowMap map, Point at, Tensor weights, boolean through) {
        Dual velocity = at.alongEnd(map, through);
        return (through ? velocity.tangentOrZero() : velocity.primal())
                .mul(weights)
                .sum();
    }

    /** Each parameter that is trained in float32 is trained here too, with about the same gradient. */
    @Test
    void everyParameterHasItsGradient() {
        MetaFlowMap map = network("transformer with everything");
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(7)) {
            Point at = Point.random(map, random);
            Tensor gradients = map.parameters().gradients();
            gradients.zero_();
            Autograd.backward(at.alongEnd(map, false).primal().square().sum());
            Tensor exact = gradients.clone();
            gradients.zero_();
            Tensor loss;
            try (Autocast on = bfloat16()) {
                loss = at.alongEnd(map, false).primal().square().sum();
            }
            Autograd.backward(loss);
            for (String parameter : map.parameters().parameters().keySet()) {
                Tensor expected = map.parameters().view(parameter, exact);
                if (expected.norm().item() > 1e-2 * exact.norm().item()) {
                    double apart = apart(expected, map.parameters().view(parameter, gradients));
                    assertTrue(apart < 2 * ROUNDINGS, parameter + " is apart by " + apart);
                }
            }
        }
    }

    /** For inputs of any type, values and tangents have one type and statistics are float32. */
    @Test
    void tangentsHaveTheTypeOfTheirValues() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(9);
                Autocast on = bfloat16()) {
            for (boolean through : new boolean[] {false, true}) {
                Dual exact = dual(random, through, DType.FLOAT32);
                Dual mixed = dual(random, through, DType.BFLOAT16);
                Tensor weight = random.normal(6, 8);
                for (Dual value : new Dual[] {exact, mixed}) {
                    assertType(DType.BFLOAT16, value.linear(weight));
                    assertType(DType.BFLOAT16, value.matmul(mixed.transpose(-2, -1)));
                    assertType(DType.BFLOAT16, Dual.attention(value, exact, mixed));
                    assertType(DType.FLOAT32, value.softmax());
                    assertType(DType.FLOAT32, value.layerNorm(1e-6));
                    assertType(value.primal().dtype(), value.rmsNorm(Torch.onesLike(random.normal(8)), 1e-6));
                    assertType(value.primal().dtype(), value.silu());
                    assertType(value.primal().dtype(), value.geluTanh());
                    assertType(DType.FLOAT32, Dual.cat(2, value, exact));
                    assertType(DType.FLOAT32, exact.addcmul(value, mixed));
                    assertType(DType.FLOAT32, value.addcmul(mixed, exact));
                    assertType(DType.FLOAT32, value.mul(exact));
                    assertType(DType.FLOAT32, exact.sub(value));
                    assertType(DType.FLOAT32, Dual.constant(exact.primal()).add(value));
                }
            }
        }
    }

    private static Dual dual(RandomSource random, boolean through, DType type) {
        Tensor value = random.normal(2, 3, 4, 8).to(type);
        Tensor rate = random.normal(2, 3, 4, 8).to(type);
        return through ? Dual.through(value, rate) : Dual.of(value, rate);
    }

    private static void assertType(DType type, Dual dual) {
        assertEquals(type, dual.primal().dtype());
        assertEquals(type, dual.tangentOrZero().dtype());
    }

    @Test
    void nothingIsLeftBehind() {
        MetaFlowMap map = network("transformer with joint attention and norms");
        long tensors = NativeMemory.liveTensors();
        long bytes = NativeMemory.liveBytes();
        for (int i = 0; i < 3; i++) {
            try (TensorScope scope = TensorScope.open();
                    RandomSource random = RandomSource.seeded(8);
                    Autocast on = bfloat16()) {
                Point.random(map, random).alongStart(map);
                try (Autograd.Mode off = Autograd.inference()) {
                    Point.random(map, random).alongEnd(map, false);
                }
            }
        }
        assertEquals(tensors, NativeMemory.liveTensors());
        assertEquals(bytes, NativeMemory.liveBytes());
    }
}
