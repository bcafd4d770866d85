package org.metaflowmaps.models.model;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Close.assertClose;

import java.util.Arrays;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.layer.ForwardMode;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.JavaCpp;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Derivatives of whole networks along (s, u, x̄), for every option of every network. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class NetworkDerivativeTest {
    private static final double ROUNDING = 2e-5;
    private static final double STEP = 4e-3;

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

    /** Which of start, end and state move. */
    private static final boolean[][] DIRECTIONS = {
        {true, false, true}, {false, true, false}, {true, false, false}, {false, false, true}, {true, true, true}
    };

    /** Three values of (s, u, x̄) and a direction for them. */
    private record Point(Tensor start, Tensor end, Tensor state, Tensor startRate, Tensor endRate, Tensor stateRate) {
        static Point random(MetaFlowMap map, RandomSource random) {
            Tensor state = SmallNetworks.items(map, random);
            return new Point(
                    random.uniform(SmallNetworks.BATCH),
                    random.uniform(SmallNetworks.BATCH),
                    state,
                    random.normal(SmallNetworks.BATCH),
                    random.normal(SmallNetworks.BATCH),
                    random.normal(state.shape()));
        }

        Tensor at(MetaFlowMap map, Context context, boolean[] moves, double distance) {
            return map.averageVelocity(
                    moves[0] ? start.add(startRate.mul(distance)) : start,
                    moves[1] ? end.add(endRate.mul(distance)) : end,
                    moves[2] ? state.add(stateRate.mul(distance)) : state,
                    context);
        }

        Dual dual(MetaFlowMap map, Context context, boolean[] moves) {
            return map.averageVelocity(
                    one(start, startRate, moves[0]),
                    one(end, endRate, moves[1]),
                    one(state, stateRate, moves[2]),
                    context);
        }

        private static Dual one(Tensor value, Tensor rate, boolean moves) {
            return moves ? Dual.of(value, rate) : Dual.constant(value);
        }
    }

    @ParameterizedTest
    @MethodSource("names")
    void tangentIsThatOfLibtorchsForwardMode(String name) {
        MetaFlowMap map = network(name);
        for (boolean[] moves : DIRECTIONS) {
            try (TensorScope scope = TensorScope.open();
                    RandomSource random = RandomSource.seeded(5);
                    ForwardMode oracle = new ForwardMode()) {
                Point at = Point.random(map, random);
                Context context = SmallNetworks.context(map, random);
                Tensor expected = map.averageVelocity(
                        moves[0] ? oracle.dual(at.start, at.startRate) : at.start,
                        moves[1] ? oracle.dual(at.end, at.endRate) : at.end,
                        moves[2] ? oracle.dual(at.state, at.stateRate) : at.state,
                        context);
                Dual actual = at.dual(map, context, moves);
                String what = name + " along " + Arrays.toString(moves);
                assertClose(expected, actual.primal(), ROUNDING, what + ": value");
                assertClose(oracle.tangent(expected), actual.tangentOrZero(), ROUNDING, what);
                assertTrue(actual.tangentOrZero().abs().max().item() > 1e-3, what + ": it moves at all");
                assertTrue(actual.primal().requiresGrad());
                assertFalse(actual.tangentOrZero().requiresGrad());
            }
        }
    }

    @ParameterizedTest
    @MethodSource("names")
    void tangentIsThatOfDifferences(String name) {
        MetaFlowMap map = network(name);
        boolean[] moves = {true, true, true};
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(6);
                Autograd.Mode off = Autograd.noGrad()) {
            Point at = Point.random(map, random);
            Context context = SmallNetworks.context(map, random);
            // Fourth-order differences: the remaining error is the networks' float32 rounding over the step.
            Tensor near = at.at(map, context, moves, STEP)
                    .sub(at.at(map, context, moves, -STEP))
                    .mul(8);
            Tensor far = at.at(map, context, moves, 2 * STEP).sub(at.at(map, context, moves, -2 * STEP));
            assertClose(
                    near.sub(far).div(12 * STEP), at.dual(map, context, moves).tangentOrZero(), 1e-3, name);
        }
    }

    @ParameterizedTest
    @MethodSource("names")
    void valueDoesNotDependOnHavingATangent(String name) {
        MetaFlowMap map = network(name);
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(7);
                Autograd.Mode off = Autograd.noGrad()) {
            Point at = Point.random(map, random);
            for (Context context : new Context[] {
                SmallNetworks.context(map, random),
                SmallNetworks.context(map, random).with(Condition.none()),
                Context.unconditional(at.state, Condition.none())
            }) {
                assertClose(
                        at.at(map, context, DIRECTIONS[0], 0),
                        at.dual(map, context, DIRECTIONS[0]).primal(),
                        1e-6,
                        name);
            }
        }
    }

    /** Reverse over forward: the gradient of ⟨tangent, weights⟩ predicts the change over a small step. */
    @ParameterizedTest
    @MethodSource("names")
    void gradientThroughTheTangentIsThatOfDifferences(String name) {
        MetaFlowMap map = network(name);
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(8)) {
            Point at = Point.random(map, random);
            Context context = SmallNetworks.context(map, random);
            Tensor weights = random.normal(at.state.shape());
            Tensor values = map.parameters().values();
            map.parameters().gradients().zero_();
            Tensor state = at.state.clone().requiresGrad_(true);
            Dual through = map.averageVelocity(
                    Dual.through(at.start, at.startRate),
                    Dual.constant(at.end),
                    Dual.through(state, at.stateRate),
                    context);
            Autograd.backward(through.tangentOrZero().mul(weights).sum());
            try (Autograd.Mode off = Autograd.noGrad()) {
                Tensor gradient = map.parameters().gradients().clone();
                Tensor stateGradient = Torch.empty(state.dtype(), state.device(), state.shape());
                stateGradient.copy_(JavaCpp.wrap(JavaCpp.unwrap(state).grad()));
                // Along the normalised gradient the change is the gradient's length, so nothing cancels.
                Tensor parameterStep = gradient.div(gradient.norm());
                Tensor stateStep = stateGradient.div(stateGradient.norm());
                double[] ends = new double[4];
                double[] steps = {STEP / 2, -STEP / 2, STEP, -STEP};
                Tensor before = values.clone();
                for (int i = 0; i < steps.length; i++) {
                    values.copy_(before.add(parameterStep.mul(steps[i])));
                    Dual moved = map.averageVelocity(
                            Dual.of(at.start, at.startRate),
                            Dual.constant(at.end),
                            Dual.of(at.state.add(stateStep.mul(steps[i])), at.stateRate),
                            context);
                    ends[i] = moved.tangentOrZero().mul(weights).sum().item();
                }
                values.copy_(before);
                double slope = (8 * (ends[0] - ends[1]) - (ends[2] - ends[3])) / (6 * STEP);
                double promised = gradient.norm().item() + stateGradient.norm().item();
                assertTrue(
                        Math.abs(slope - promised) < 2e-3 * promised, name + ": " + slope + " instead of " + promised);
            }
        }
    }

    private MetaFlowMap network(String name) {
        return Objects.requireNonNull(networks.get(name));
    }
}
