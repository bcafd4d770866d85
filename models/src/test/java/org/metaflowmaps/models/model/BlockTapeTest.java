package org.metaflowmaps.models.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Function;
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
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/** Gradients of whole networks on a tape against those of libtorch's graph. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class BlockTapeTest {
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

    /** Asserts equal losses and, for each parameter, gradients apart by at most a part of their largest entry. */
    private static void compare(MetaFlowMap map, Function<RandomSource, Tensor> loss, double tolerance, String what) {
        long before = NativeMemory.liveTensors();
        try (TensorScope scope = TensorScope.open();
                RandomSource first = RandomSource.seeded(5);
                RandomSource second = RandomSource.seeded(5)) {
            Tensor gradients = map.parameters().gradients();
            gradients.zero_();
            Tensor expected = loss.apply(first);
            Autograd.backward(expected);
            Tensor wanted = gradients.clone();
            gradients.zero_();
            try (BlockTape tape = BlockTape.open()) {
                Tensor actual = loss.apply(second);
                tape.backward(actual);
                // Without a graph, GELU is computed and rounded in another way.
                assertEquals(expected.item(), actual.item(), 2e-6 * Math.abs(expected.item()), what);
            }
            map.parameters().parameters().keySet().forEach(name -> {
                Tensor one = map.parameters().view(name, wanted);
                double apart = map.parameters()
                        .view(name, gradients)
                        .sub(one)
                        .abs()
                        .max()
                        .item();
                double size = one.abs().max().item();
                assertTrue(apart <= tolerance * size, what + ", " + name + ": " + apart + " of " + size);
            });
        }
        assertEquals(before, NativeMemory.liveTensors(), what + ": live tensors");
    }

    private static Tensor loss(MetaFlowMap map, RandomSource random) {
        Context context = SmallNetworks.context(map, random);
        Tensor state = SmallNetworks.items(map, random);
        Tensor velocity = map.averageVelocity(
                random.uniform(SmallNetworks.BATCH), random.uniform(SmallNetworks.BATCH), state, context);
        return velocity.sub(random.normal(state.shape())).square().mean();
    }

    @ParameterizedTest
    @MethodSource("names")
    void gradientsAreThoseOfLibtorch(String name) {
        MetaFlowMap map = network(name);
        map.parameters().gradients();
        compare(map, random -> loss(map, random), 1e-5, name);
    }

    @Test
    void gradientsInFloat64AreThoseOfLibtorch() {
        try (MetaFlowMap map = FlowMapTransformer.zeros(SmallNetworks.config(), Device.CPU, DType.FLOAT64);
                TensorScope scope = TensorScope.open()) {
            try (Autograd.Mode off = Autograd.noGrad()) {
                map.parameters()
                        .values()
                        .copy_(network("transformer").parameters().values());
            }
            map.parameters().gradients();
            compare(
                    map,
                    random -> {
                        Tensor time = random.uniform(SmallNetworks.BATCH).to(DType.FLOAT64);
                        Tensor state = SmallNetworks.items(map, random).to(DType.FLOAT64);
                        Context context = new Context(time, state.flip(2), Condition.none());
                        return map.averageVelocity(time, time, state, context)
                                .square()
                                .mean();
                    },
                    1e-10,
                    "float64");
        }
    }

    /** The second evaluation's state depends on the first one, so it is recorded as usual, and the first by hand. */
    @Test
    void evaluationsMayUseResultsOfEarlierOnes() {
        MetaFlowMap map = network("transformer");
        map.parameters().gradients();
        compare(
                map,
                random -> {
                    Context context = SmallNetworks.context(map, random);
                    Tensor state = SmallNetworks.items(map, random);
                    Tensor middle = random.uniform(SmallNetworks.BATCH);
                    Tensor jumped = map.flowMap(context.time(), middle, state, context);
                    Tensor again = map.averageVelocity(middle, middle, state, context);
                    return map.averageVelocity(middle, middle, jumped, context)
                            .sub(again)
                            .square()
                            .mean();
                },
                2e-5,
                "three evaluations");
    }

    /** As in MeanFlow's loss, the tangent is a part of the target. */
    @ParameterizedTest
    @MethodSource("names")
    void tangentsAreTheSame(String name) {
        MetaFlowMap map = network(name);
        map.parameters().gradients();
        compare(
                map,
                random -> {
                    Tensor state = SmallNetworks.items(map, random);
                    Context context = SmallNetworks.context(map, random).along(random.normal(state.shape()));
                    Tensor time = random.uniform(SmallNetworks.BATCH);
                    Dual found = map.averageVelocity(
                            Dual.of(time, random.normal(SmallNetworks.BATCH)),
                            Dual.constant(time),
                            Dual.of(state, random.normal(state.shape())),
                            context);
                    return found.primal()
                            .sub(found.tangentOrZero().mul(0.5))
                            .square()
                            .mean();
                },
                1e-5,
                name);
    }

    @Test
    void gradientsThroughTangentsAreRecordedAsUsual() {
        MetaFlowMap map = network("transformer");
        map.parameters().gradients();
        compare(
                map,
                random -> {
                    Context context = SmallNetworks.context(map, random);
                    Tensor state = SmallNetworks.items(map, random);
                    Dual found = map.averageVelocity(
                            Dual.constant(context.time()),
                            Dual.constant(context.time()),
                            Dual.through(state, random.normal(state.shape())),
                            context);
                    return found.tangentOrZero().square().mean();
                },
                0,
                "through a tangent");
    }

    /** The state reaches the loss by two evaluations, of which one uses the other's result, and past both. */
    private static Tensor lossOf(MetaFlowMap map, Tensor leaf, RandomSource random) {
        Context given = SmallNetworks.context(map, random);
        Tensor point = leaf.mul(random.normal(leaf.shape()));
        Context context = map.isContextual() ? new Context(given.time(), point, given.condition()) : given;
        Tensor middle = random.uniform(SmallNetworks.BATCH);
        Tensor jumped = map.flowMap(context.time(), middle, point, context);
        return map.averageVelocity(middle, middle, jumped, context)
                .sub(point)
                .square()
                .mean();
    }

    private static void compareInputGradients(MetaFlowMap map, double tolerance, String what) {
        long before = NativeMemory.liveTensors();
        try (TensorScope scope = TensorScope.open();
                RandomSource first = RandomSource.seeded(5);
                RandomSource second = RandomSource.seeded(5)) {
            Tensor one = SmallNetworks.items(map, first).requiresGrad_(true);
            Tensor expected =
                    Autograd.gradients(lossOf(map, one, first), List.of(one)).getFirst();
            Tensor two = SmallNetworks.items(map, second).requiresGrad_(true);
            try (BlockTape tape = BlockTape.openAnywhere()) {
                Tensor actual = tape.gradient(lossOf(map, two, second), two);
                double apart = actual.sub(expected).abs().max().item();
                double size = expected.abs().max().item();
                assertTrue(apart <= tolerance * size, what + ": " + apart + " of " + size);
            }
        }
        assertEquals(before, NativeMemory.liveTensors(), what + ": live tensors");
    }

    @ParameterizedTest
    @MethodSource("names")
    void gradientsOfInputsAreThoseOfLibtorch(String name) {
        try (MetaFlowMap frozen = network(name).frozen()) {
            compareInputGradients(frozen, 1e-5, name);
        }
        compareInputGradients(network(name), 1e-5, name + ", whose weights get gradients too");
        try (MetaFlowMap narrow = network(name).copy(DType.BFLOAT16)) {
            compareInputGradients(narrow, 2e-2, name + " in bfloat16");
        }
    }

    /** Otherwise the comparison above would be of libtorch with itself. */
    @Test
    void aFrozenNetworksBlocksAreOnTheTape() {
        try (MetaFlowMap map = network("transformer").frozen();
                TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(5);
                BlockTape tape = BlockTape.openAnywhere()) {
            Tensor leaf = SmallNetworks.items(map, random).requiresGrad_(true);
            Context context = SmallNetworks.context(map, random);
            Tensor time = context.time();
            Autograd.backward(map.averageVelocity(time, time, leaf, context).sum());
            assertNull(Autograd.accumulated(leaf));
            Autograd.backward(leaf.sum());
            assertThrows(IllegalArgumentException.class, () -> tape.gradient(leaf.sum(), leaf));
        }
    }

    @Test
    void libtorchsGraphEndsAtTheLastBlock() {
        MetaFlowMap map = network("transformer");
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(9);
                BlockTape tape = BlockTape.open()) {
            map.parameters().gradients().zero_();
            Autograd.backward(loss(map, random));
            assertEquals(0, largestGradient(map, "x_embedder.proj.weight"));
            assertEquals(0, largestGradient(map, "blocks.2.mlp.fc2.weight"));
            assertTrue(largestGradient(map, "final_layer.linear.weight") > 0);
        }
    }

    private static double largestGradient(MetaFlowMap map, String name) {
        return map.parameters()
                .view(name, map.parameters().gradients())
                .abs()
                .max()
                .item();
    }

    @Test
    void unusedEvaluationsAreFreedWithTheTape() {
        MetaFlowMap map = network("transformer");
        long before = NativeMemory.liveTensors();
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(6);
                BlockTape tape = BlockTape.open()) {
            assertTrue(loss(map, random).requiresGrad());
            Tensor constant = loss(map, random).detach();
            Tensor used = loss(map, random);
            tape.backward(used.mul(constant));
            assertTrue(loss(map, random).requiresGrad());
        }
        assertEquals(before, NativeMemory.liveTensors());
    }

    @Test
    void aTapeIsUsedByItsThreadInnermostFirst() throws InterruptedException {
        MetaFlowMap map = network("transformer");
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(7);
                BlockTape outer = BlockTape.open()) {
            try (BlockTape inner = BlockTape.open()) {
                assertThrows(IllegalStateException.class, outer::close);
                inner.backward(loss(map, random));
            }
            Throwable[] thrown = new Throwable[1];
            Thread other = new Thread(() -> {
                try {
                    outer.close();
                } catch (IllegalStateException e) {
                    thrown[0] = e;
                }
            });
            other.start();
            other.join();
            assertNotNull(thrown[0]);
            Tensor loss = loss(map, random);
            outer.close();
            assertThrows(IllegalStateException.class, () -> outer.backward(loss));
        }
    }

    @Test
    void withoutRecordingNothingIsStored() {
        MetaFlowMap map = network("transformer");
        try (TensorScope scope = TensorScope.open();
                RandomSource one = RandomSource.seeded(8);
                RandomSource two = RandomSource.seeded(8);
                Autograd.Mode off = Autograd.noGrad();
                BlockTape tape = BlockTape.open()) {
            long before = NativeMemory.liveTensors();
            float[] inside;
            try (TensorScope inner = TensorScope.open()) {
                inside = loss(map, one).toFloatArray();
            }
            assertEquals(before, NativeMemory.liveTensors());
            assertArrayEquals(inside, loss(map, two).toFloatArray());
        }
    }
}
