package org.metaflowmaps.models.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
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
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** One structure over several buffers: views of an average, frozen networks, bfloat16 copies. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class BoundNetworkTest {
    /** Bfloat16 has a relative error of up to 2^-9, about 0.002; weights and about ten products are rounded. */
    private static final double BFLOAT16 = 0.02;

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

    private record Point(Tensor start, Tensor end, Tensor state, Context context) {
        static Point random(MetaFlowMap map, RandomSource random) {
            return new Point(
                    random.uniform(SmallNetworks.BATCH),
                    random.uniform(SmallNetworks.BATCH),
                    SmallNetworks.items(map, random),
                    SmallNetworks.context(map, random));
        }

        Tensor at(MetaFlowMap map) {
            return map.averageVelocity(start, end, state, context);
        }
    }

    @ParameterizedTest
    @MethodSource("names")
    void aBoundNetworkFollowsItsBuffer(String name) {
        MetaFlowMap map = network(name);
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(3);
                Autograd.Mode off = Autograd.noGrad()) {
            Point at = Point.random(map, random);
            float[] expected = at.at(map).toFloatArray();
            Tensor flat = Torch.zerosLike(map.parameters().values());
            try (MetaFlowMap bound = map.boundTo(flat)) {
                assertTrue(bound.parameters().isFrozen());
                flat.copy_(map.parameters().values());
                assertArrayEquals(expected, at.at(bound).toFloatArray());
                flat.mul_(0.5);
                float[] half = at.at(bound).toFloatArray();
                assertFalse(Arrays.equals(expected, half));
                try (MetaFlowMap again = bound.boundTo(flat)) {
                    assertArrayEquals(half, at.at(again).toFloatArray());
                }
                assertEquals(map.buffers().keySet(), bound.buffers().keySet());
                assertEquals(
                        List.copyOf(map.parameters().parameters().keySet()),
                        List.copyOf(bound.parameters().parameters().keySet()));
            }
            assertArrayEquals(expected, at.at(map).toFloatArray());
        }
    }

    @ParameterizedTest
    @MethodSource("names")
    void aFrozenNetworkHasGradientsOfItsInputsOnly(String name) {
        MetaFlowMap map = network(name);
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(4);
                MetaFlowMap frozen = map.frozen()) {
            Point at = Point.random(map, random);
            assertTrue(at.at(map).requiresGrad());
            assertFalse(at.at(frozen).requiresGrad());
            assertTrue(frozen.parameters().parameters().values().stream().noneMatch(Tensor::requiresGrad));
            assertArrayEquals(gradient(map, at), gradient(frozen, at));
            Refusal.illegalState("frozen", () -> frozen.parameters().gradients());
        }
    }

    private static float[] gradient(MetaFlowMap map, Point at) {
        Tensor leaf = at.state.clone().requiresGrad_(true);
        Tensor velocity = map.averageVelocity(at.start, at.end, leaf, at.context);
        return Autograd.gradients(velocity.square().sum(), List.of(leaf))
                .getFirst()
                .toFloatArray();
    }

    @Test
    void copiesAreOnTheirOwnAndEachIsClosedAlone() {
        long tensors = NativeMemory.liveTensors();
        long bytes = NativeMemory.liveBytes();
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(5);
                Autograd.Mode off = Autograd.noGrad()) {
            FlowMapTransformer map = SmallNetworks.transformer();
            Point at = Point.random(map, random);
            float[] expected = at.at(map).toFloatArray();
            try (MetaFlowMap copy = map.copy(DType.FLOAT32);
                    MetaFlowMap frozen = map.frozen()) {
                map.parameters().values().mul_(2);
                assertArrayEquals(expected, at.at(copy).toFloatArray());
                float[] doubled = at.at(map).toFloatArray();
                map.close();
                assertArrayEquals(doubled, at.at(frozen).toFloatArray());
                assertThrows(IllegalStateException.class, () -> at.at(map));
            }
        }
        assertEquals(tensors, NativeMemory.liveTensors());
        assertEquals(bytes, NativeMemory.liveBytes());
    }

    @ParameterizedTest
    @MethodSource("names")
    void aBfloat16CopyIsNearToFloat32(String name) {
        MetaFlowMap map = network(name);
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(6);
                Autograd.Mode off = Autograd.noGrad();
                MetaFlowMap copy = map.copy(DType.BFLOAT16)) {
            Point at = Point.random(map, random);
            Tensor rate = random.normal(at.state.shape());
            assertEquals(DType.BFLOAT16, copy.parameters().values().dtype());
            for (Context context : List.of(at.context, at.context.along(rate))) {
                Dual exact = map.averageVelocity(
                        Dual.constant(at.start), Dual.constant(at.end), Dual.of(at.state, rate), context);
                Dual rounded = copy.averageVelocity(
                        Dual.constant(at.start), Dual.constant(at.end), Dual.of(at.state, rate), context);
                assertNear(exact.primal(), rounded.primal(), BFLOAT16, name + ": velocity");
                assertNear(exact.tangentOrZero(), rounded.tangentOrZero(), 2 * BFLOAT16, name + ": tangent");
            }
            // A draw from noise in one step: the state is not rounded, only the velocity added to it.
            Tensor zero = Torch.zerosLike(at.start);
            Tensor one = Torch.onesLike(at.start);
            Tensor exact = map.flowMap(zero, one, at.state, at.context);
            Tensor rounded = copy.flowMap(zero, one, at.state, at.context);
            double error = rounded.sub(exact).norm().item();
            assertTrue(error < BFLOAT16 * exact.sub(at.state).norm().item(), name + ": draw is off by " + error);
        }
    }

    private static void assertNear(Tensor expected, Tensor actual, double bound, String what) {
        assertEquals(DType.FLOAT32, actual.dtype(), what);
        double apart = actual.sub(expected).norm().item() / expected.norm().item();
        assertTrue(apart < bound, what + " is apart by " + apart + " of its size");
        assertTrue(apart > 1e-6, what + " is apart by only " + apart + ": nothing was rounded");
    }

    /** 0.5 and 0.501 are equal in bfloat16. */
    @ParameterizedTest
    @MethodSource("names")
    void timesOfABfloat16CopyAreNotRounded(String name) {
        MetaFlowMap map = network(name);
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(7);
                Autograd.Mode off = Autograd.noGrad();
                MetaFlowMap copy = map.copy(DType.BFLOAT16)) {
            Point at = Point.random(map, random);
            Tensor one = Torch.onesLike(at.end);
            Dual exact = map.averageVelocity(
                    Dual.constant(at.start), Dual.of(at.end, one), Dual.constant(at.state), at.context);
            Dual rounded = copy.averageVelocity(
                    Dual.constant(at.start), Dual.of(at.end, one), Dual.constant(at.state), at.context);
            assertNear(
                    exact.tangentOrZero(),
                    rounded.tangentOrZero(),
                    2 * BFLOAT16,
                    name + ": derivative in the end time");
        }
    }

    @Test
    void buffersOfAnotherLayoutAreRefused() {
        MetaFlowMap map = network("mlp");
        try (TensorScope scope = TensorScope.open()) {
            long size = map.parameters().values().numel();
            Refusal.illegalArgument("does not have this arena's layout", () -> map.boundTo(Torch.zeros(size + 1)));
            Refusal.illegalArgument(
                    "expected float32, float64 or bfloat16",
                    () -> map.boundTo(Torch.zeros(DType.INT64, Device.CPU, size)));
            Refusal.illegalArgument("expected one contiguous dimension", () -> map.boundTo(Torch.zeros(size, 1)));
            Refusal.illegalArgument("expected float32, float64 or bfloat16", () -> map.copy(DType.INT64));
        }
    }

    @Test
    void anArenaOverAPartOfAnotherBufferHasItsOwnPlaces() {
        try (TensorScope scope = TensorScope.open();
                ParameterArena arena = new ParameterArena(Map.of("name", Shape.of(2, 2)), Device.CPU)) {
            Tensor both = Torch.arange(2 * arena.values().numel()).to(DType.FLOAT32);
            try (ParameterArena second = arena.over(both.narrow(
                            0, arena.values().numel(), arena.values().numel()));
                    ParameterArena third = second.over(second.values())) {
                assertEquals(
                        (double) arena.values().numel(),
                        second.get("name").reshape(-1).select(0, 0).item());
                assertEquals(
                        (double) arena.values().numel(),
                        third.view("name", third.values())
                                .reshape(-1)
                                .select(0, 0)
                                .item());
            }
        }
    }
}
