package org.metaflowmaps.models.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Close.assertClose;

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
import org.metaflowmaps.models.layer.ForwardMode;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Derivatives of whole networks along x_t, for every option of every network. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class ContextTangentTest {
    private static final double ROUNDING = 2e-5;

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

    /** Inputs of a network and directions for its two states. */
    private record Point(Tensor start, Tensor end, Tensor state, Context context, Tensor rate, Tensor stateRate) {
        static Point random(MetaFlowMap map, RandomSource random) {
            Tensor state = SmallNetworks.items(map, random);
            return new Point(
                    random.uniform(SmallNetworks.BATCH),
                    random.uniform(SmallNetworks.BATCH),
                    state,
                    SmallNetworks.context(map, random),
                    random.normal(state.shape()),
                    random.normal(state.shape()));
        }

        Dual along(MetaFlowMap map, Dual moved) {
            return map.averageVelocity(Dual.constant(start), Dual.constant(end), moved, context.along(rate));
        }
    }

    @ParameterizedTest
    @MethodSource("names")
    void tangentIsThatOfLibtorchsForwardMode(String name) {
        MetaFlowMap map = network(name);
        for (boolean both : new boolean[] {false, true}) {
            try (TensorScope scope = TensorScope.open();
                    RandomSource random = RandomSource.seeded(5);
                    ForwardMode oracle = new ForwardMode()) {
                Point at = Point.random(map, random);
                Tensor expected = map.averageVelocity(
                        at.start,
                        at.end,
                        both ? oracle.dual(at.state, at.stateRate) : at.state,
                        Context.unchecked(
                                at.context.time(), oracle.dual(at.context.state(), at.rate), at.context.condition()));
                Dual actual = at.along(map, both ? Dual.of(at.state, at.stateRate) : Dual.constant(at.state));
                assertClose(expected, actual.primal(), ROUNDING, name + ": value");
                assertClose(oracle.tangent(expected), actual.tangentOrZero(), ROUNDING, name);
                if (map.isContextual()) {
                    assertTrue(actual.tangentOrZero().abs().max().item() > 1e-3, name + ": it moves at all");
                    assertFalse(actual.tangentOrZero().requiresGrad());
                }
            }
        }
    }

    /** ⟨w, J·r⟩ by forward mode equals ⟨Jᵀ·w, r⟩ by backward mode. */
    @ParameterizedTest
    @MethodSource("names")
    void tangentAgreesWithAutograd(String name) {
        MetaFlowMap map = network(name);
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(6)) {
            Point at = Point.random(map, random);
            Dual forward = at.along(map, Dual.constant(at.state));
            if (!map.isContextual()) {
                assertNull(forward.tangent(), "a map that does not look at the context does not move with it");
                return;
            }
            Tensor weight = random.normal(at.state.shape());
            Tensor leaf = at.context.state().clone().requiresGrad_(true);
            Tensor velocity = map.averageVelocity(
                    at.start, at.end, at.state, new Context(at.context.time(), leaf, at.context.condition()));
            Tensor backward = Autograd.gradients(velocity.mul(weight).sum(), List.of(leaf))
                    .getFirst();
            double expected = backward.mul(at.rate).sum().item();
            double scale = backward.norm().item() * at.rate.norm().item();
            assertEquals(expected, forward.tangentOrZero().mul(weight).sum().item(), 1e-5 * scale, name);
            assertTrue(scale > 1e-2, name);
        }
    }

    @ParameterizedTest
    @MethodSource("names")
    void valueIsTheSameToTheBit(String name) {
        MetaFlowMap map = network(name);
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(7);
                Autograd.Mode off = Autograd.noGrad()) {
            Point at = Point.random(map, random);
            Tensor plain = map.averageVelocity(at.start, at.end, at.state, at.context);
            assertArrayEquals(
                    plain.toFloatArray(),
                    at.along(map, Dual.constant(at.state)).primal().toFloatArray());
        }
    }

    @Test
    void tangentGoesWithItsItems() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(8)) {
            Context context = SmallNetworks.context(network("transformer"), random);
            Tensor rate = random.normal(context.state().shape());
            Context moving = context.along(rate);
            assertRows(rate, new long[] {1, 2}, moving.slice(1, 2));
            assertRows(rate, new long[] {0, 1}, moving.first(2));
            assertRows(rate, new long[] {0, 0, 1, 1, 2, 2}, moving.repeatInterleave(2));
            assertRows(rate, new long[] {2, 0, 2}, moving.indexSelect(Torch.of(new long[] {2, 0, 2})));
            assertRows(rate, new long[] {0, 1, 2}, moving.with(Condition.none()));
            assertNull(context.repeatInterleave(2).dualState().tangent());
            Refusal.illegalArgument("a tangent of shape", () -> context.along(rate.narrow(0, 0, 2)));
        }
    }

    private static void assertRows(Tensor rate, long[] rows, Context context) {
        Tensor tangent = context.dualState().tangent();
        assertNotNull(tangent);
        assertArrayEquals(rate.indexSelect(0, Torch.of(rows)).toFloatArray(), tangent.toFloatArray());
    }

    private MetaFlowMap network(String name) {
        return Objects.requireNonNull(networks.get(name));
    }
}
