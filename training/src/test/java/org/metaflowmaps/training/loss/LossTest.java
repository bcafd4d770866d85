package org.metaflowmaps.training.loss;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Close.assertClose;
import static org.metaflowmaps.runtime.Close.farthest;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.metaflowmaps.models.layer.ForwardMode;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.loss.Lagrangian.Through;

/** Every loss compared with its formula, with libtorch's derivatives, and detach for the method's stop. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class LossTest {
    private static final double ROUNDING = 5e-5;
    private static final double BOUND = 0.7;

    private final Map<String, MetaFlowMap> maps = new LinkedHashMap<>(Map.of(
            "transformer",
            SmallNetworks.transformer(),
            "mlp",
            SmallNetworks.mlp(SmallNetworks.mlpConfig(2, 16, 2, 3))));

    @AfterAll
    void close() {
        maps.values().forEach(MetaFlowMap::close);
    }

    /** A loss and its formula. */
    record Formula(String name, Formulated ours, Formulated naive) {
        @Override
        public String toString() {
            return name;
        }
    }

    @FunctionalInterface
    interface Formulated {
        Regression of(MetaFlowMap map, Example at);
    }

    static Stream<Formula> formulas() {
        return Stream.of(
                new Formula("diagonal", diagonal(new Velocity.Data()), LossTest::diagonal),
                new Formula(
                        "diagonal, guided",
                        diagonal(new Velocity.Guided(0)),
                        (map, at) -> new Regression(
                                at.velocity(map, at.start(), at.start(), at.state()), guided(map, at, 0))),
                // The example's items start at 0.1, 0.35 and 0; the second has a guidance scale other than 1.
                new Formula(
                        "diagonal, guided from 0.2",
                        diagonal(new Velocity.Guided(0.2)),
                        (map, at) -> new Regression(
                                at.velocity(map, at.start(), at.start(), at.state()), guided(map, at, 0.2))),
                new Formula(
                        "diagonal, taught",
                        diagonal(TAUGHT),
                        (map, at) -> new Regression(
                                at.velocity(map, at.start(), at.start(), at.state()),
                                taught(at.start(), at.state(), at.context()))),
                new Formula("semigroup", of(new Semigroup(null)), (map, at) -> jumps(semigroup(map, at), at)),
                new Formula("psd", of(new Progressive(null)), LossTest::semigroup),
                new Formula("shortcut", of(new Shortcut(null, 0)), (map, at) -> semigroup(map, at.withFraction(0.5))),
                new Formula(
                        "shortcut, bounded",
                        of(new Shortcut(null, BOUND)),
                        (map, at) -> bounded(semigroup(map, at.withFraction(0.5)))),
                new Formula(
                        "mean flow",
                        of(new Eulerian(new Velocity.Data())),
                        (map, at) -> eulerian(map, at, at.data().sub(at.noise()))),
                new Formula(
                        "mean flow, guided",
                        of(new Eulerian(new Velocity.Guided(0))),
                        (map, at) -> eulerian(map, at, guided(map, at, 0))),
                new Formula(
                        "eulerian", of(new Eulerian(new Velocity.Own())), (map, at) -> eulerian(map, at, own(map, at))),
                new Formula(
                        "eulerian, taught",
                        of(new Eulerian(TAUGHT)),
                        (map, at) -> eulerian(map, at, taught(at.start(), at.state(), at.context()))),
                new Formula("improved mean flow", of(new ImprovedMeanFlow(new Velocity.Data())), LossTest::improved),
                new Formula(
                        "alpha-flow 0.3",
                        of(Example.alphaFlow(new Velocity.Data(), 0.3)),
                        (map, at) -> alpha(map, at, 0.3)),
                new Formula(
                        "alpha-flow 0",
                        of(Example.alphaFlow(new Velocity.Data(), 0)),
                        (map, at) -> eulerian(map, at, at.data().sub(at.noise()))),
                new Formula(
                        "lagrangian, derivative",
                        of(new Lagrangian(new Velocity.Own(), Through.DERIVATIVE)),
                        LossTest::derivative),
                new Formula(
                        "lagrangian, velocity",
                        of(new Lagrangian(new Velocity.Own(), Through.VELOCITY)),
                        LossTest::velocity),
                new Formula(
                        "lagrangian, average",
                        of(new Lagrangian(new Velocity.Own(), Through.AVERAGE)),
                        LossTest::average),
                new Formula(
                        "lagrangian, taught, derivative",
                        of(new Lagrangian(TAUGHT, Through.DERIVATIVE)),
                        LossTest::derivativeTaught),
                new Formula(
                        "lagrangian, taught", of(new Lagrangian(TAUGHT, Through.AVERAGE)), LossTest::averageTaught));
    }

    private static final Velocity.Field TAUGHT = new Velocity.Taught(LossTest::taught);

    /** An arbitrary function of all inputs of a teacher. */
    private static Tensor taught(Tensor time, Tensor state, Context context) {
        return state.sin().add(context.state().mul(MetaFlowMap.perItem(time.add(context.time()), state)));
    }

    private static Formulated diagonal(Velocity velocity) {
        return (map, at) -> Diagonal.of(map, at.pair(), velocity);
    }

    private static Tensor own(MetaFlowMap map, Example at) {
        return at.velocity(map, at.start(), at.start(), at.state()).detach();
    }

    private static Tensor guided(MetaFlowMap map, Example at, double from) {
        Tensor none = Torch.full(map.classes(), DType.INT64, Device.CPU, SmallNetworks.BATCH);
        Tensor plain = map.averageVelocity(
                at.start(),
                at.start(),
                at.state(),
                new Context(
                        at.context().time(),
                        at.context().state(),
                        Condition.labelled(none).guided(Torch.onesLike(at.start()))));
        Tensor share = Torch.onesLike(at.start())
                .sub(at.context().condition().guidance().orElseThrow().reciprocal());
        share = share.mul(at.start().ge(from).to(DType.FLOAT32));
        return at.data()
                .sub(at.noise())
                .add(at.wide(share).mul(own(map, at).sub(plain)))
                .detach();
    }

    /** The same regression, of states instead of average velocities. */
    private static Regression jumps(Regression velocities, Example at) {
        return new Regression(
                at.state().add(at.length().mul(velocities.prediction())),
                at.state().add(at.length().mul(velocities.target())));
    }

    private static Regression improved(MetaFlowMap map, Example at) {
        Tensor g = own(map, at);
        Tensor rate = eulerian(map, at, g).target().sub(g);
        return new Regression(
                at.velocity(map, at.start(), at.end(), at.state()).sub(rate),
                at.data().sub(at.noise()));
    }

    private static Regression alpha(MetaFlowMap map, Example at, double alpha) {
        Tensor g = at.data().sub(at.noise());
        Tensor step = at.end().sub(at.start()).mul(alpha);
        Tensor rest =
                at.velocity(map, at.start().add(step), at.end(), at.state().add(g.mul(at.wide(step))));
        Tensor v = at.velocity(map, at.start(), at.end(), at.state());
        Tensor tau = g.mul(alpha).add(rest.mul(1 - alpha));
        return new Regression(v, v.add(tau.sub(v).div(alpha)).detach());
    }

    private static Regression bounded(Regression regression) {
        assertTrue(regression.target().abs().max().item() > BOUND, "the bound bounds nothing");
        Tensor bound = Torch.onesLike(regression.target()).mul(BOUND);
        return new Regression(
                regression.prediction(), regression.target().minimum(bound).maximum(bound.neg()));
    }

    private static Regression derivativeTaught(MetaFlowMap map, Example at) {
        Regression own = derivative(map, at);
        Tensor there = at.state()
                .add(at.length().mul(at.velocity(map, at.start(), at.end(), at.state())))
                .detach();
        return new Regression(own.prediction(), taught(at.end(), there, at.context()));
    }

    private static Regression averageTaught(MetaFlowMap map, Example at) {
        Tensor v = at.velocity(map, at.start(), at.end(), at.state());
        Tensor there = at.state().add(at.length().mul(v)).detach();
        return new Regression(
                v,
                taught(at.end(), there, at.context())
                        .sub(at.length().mul(alongEnd(map, at)))
                        .detach());
    }

    private static Formulated of(Consistency loss) {
        return (map, at) -> loss.of(map, at.pair());
    }

    private static Regression diagonal(MetaFlowMap map, Example at) {
        return new Regression(
                at.velocity(map, at.start(), at.start(), at.state()), at.data().sub(at.noise()));
    }

    private static Regression semigroup(MetaFlowMap map, Example at) {
        Tensor middle = at.start().mul(at.fraction().neg().add(1)).add(at.end().mul(at.fraction()));
        Tensor first = at.velocity(map, at.start(), middle, at.state());
        Tensor between = at.state().add(first.mul(at.wide(middle.sub(at.start()))));
        Tensor second = at.velocity(map, middle, at.end(), between);
        Tensor share = at.wide(at.fraction());
        return new Regression(
                at.velocity(map, at.start(), at.end(), at.state()),
                share.mul(first).add(second.mul(share.neg().add(1))).detach());
    }

    private static Regression eulerian(MetaFlowMap map, Example at, Tensor g) {
        Tensor rate;
        try (ForwardMode forward = new ForwardMode()) {
            rate = forward.tangent(at.velocity(
                    map, forward.dual(at.start(), Torch.onesLike(at.start())), at.end(), forward.dual(at.state(), g)));
        }
        return new Regression(
                at.velocity(map, at.start(), at.end(), at.state()),
                g.add(at.length().mul(rate)).detach());
    }

    /** ∂_u v by libtorch's forward mode, with a gradient graph. */
    private static Tensor alongEnd(MetaFlowMap map, Example at) {
        try (ForwardMode forward = new ForwardMode()) {
            return forward.tangent(
                    at.velocity(map, at.start(), forward.dual(at.end(), Torch.onesLike(at.end())), at.state()));
        }
    }

    private static Regression derivative(MetaFlowMap map, Example at) {
        Tensor v = at.velocity(map, at.start(), at.end(), at.state());
        Tensor there = at.state().add(at.length().mul(v)).detach();
        return new Regression(
                v.add(at.length().mul(alongEnd(map, at))),
                at.velocity(map, at.end(), at.end(), there).detach());
    }

    private static Regression velocity(MetaFlowMap map, Example at) {
        Tensor v = at.velocity(map, at.start(), at.end(), at.state());
        Tensor there = at.state().add(at.length().mul(v));
        return new Regression(
                at.velocity(map, at.end(), at.end(), there),
                v.add(at.length().mul(alongEnd(map, at))).detach());
    }

    private static Regression average(MetaFlowMap map, Example at) {
        Tensor v = at.velocity(map, at.start(), at.end(), at.state());
        Tensor there = at.state().add(at.length().mul(v)).detach();
        return new Regression(
                v,
                at.velocity(map, at.end(), at.end(), there)
                        .sub(at.length().mul(alongEnd(map, at)))
                        .detach());
    }

    private static Tensor gradient(MetaFlowMap map, Tensor loss) {
        map.parameters().gradients().zero_();
        Autograd.backward(loss);
        return map.parameters().gradients().clone();
    }

    private static Tensor squares(Regression regression) {
        return regression.prediction().sub(regression.target()).square().sum();
    }

    @ParameterizedTest
    @MethodSource("formulas")
    void predictionTargetAndGradientsAreThoseOfTheFormula(Formula formula) {
        maps.forEach((kind, map) -> {
            try (TensorScope scope = TensorScope.open()) {
                Example at = Example.random(map, 3);
                String what = formula + " of " + kind;
                Regression actual = formula.ours.of(map, at);
                Tensor actualGradient = gradient(map, squares(actual));
                Regression expected = formula.naive.of(map, at);
                assertClose(expected.prediction(), actual.prediction(), ROUNDING, what + ": prediction");
                assertClose(expected.target(), actual.target(), ROUNDING, what + ": target");
                assertFalse(actual.target().requiresGrad(), what + ": the target carries a graph");
                if (List.of("lagrangian, derivative", "lagrangian, taught, derivative")
                                .contains(formula.name)
                        && kind.equals("transformer")) {
                    // libtorch's forward rule of softmax works in place and cannot be differentiated, so use
                    // differences below.
                    return;
                }
                Tensor expectedGradient = gradient(map, squares(expected));
                assertTrue(
                        expectedGradient.norm().item() > 0.03,
                        what + ": " + expectedGradient.norm().item());
                for (String name : map.parameters().parameters().keySet()) {
                    assertClose(
                            map.parameters().view(name, expectedGradient),
                            map.parameters().view(name, actualGradient),
                            ROUNDING,
                            what + ": gradient of " + name);
                }
            }
        });
    }

    /** Without autograd: the loss along its gradient, with the target fixed and with the target recomputed. */
    @ParameterizedTest
    @MethodSource("formulas")
    void gradientIsThatOfDifferencesWithAFrozenTarget(Formula formula) {
        if (formula.name.equals("improved mean flow")) {
            return; // its prediction has a detached part too, which the formula above tests
        }
        maps.forEach((kind, map) -> {
            try (TensorScope scope = TensorScope.open()) {
                differences(formula, map, Example.random(map, 4), formula + " of " + kind);
            }
        });
    }

    private static void differences(Formula formula, MetaFlowMap map, Example at, String what) {
        Regression centre = formula.ours.of(map, at);
        Tensor gradient = gradient(map, squares(centre));
        double step = 2e-3;
        double[] held = new double[2];
        double[] following = new double[2];
        try (Autograd.Mode off = Autograd.noGrad()) {
            Tensor values = map.parameters().values();
            Tensor before = values.clone();
            Tensor direction = gradient.div(gradient.norm());
            for (int i = 0; i < 2; i++) {
                values.copy_(before.add(direction.mul(i == 0 ? step : -step)));
                Regression moved = formula.ours.of(map, at);
                held[i] = squares(new Regression(moved.prediction(), centre.target()))
                        .item();
                following[i] = squares(moved).item();
            }
            values.copy_(before);
        }
        double promised = gradient.norm().item();
        assertEquals(1, (held[0] - held[1]) / (2 * step) / promised, 0.01, what);
        // These targets depend little or not at all on the weights.
        if (!List.of(
                        "diagonal",
                        "diagonal, taught",
                        "diagonal, guided",
                        "diagonal, guided from 0.2",
                        "eulerian, taught")
                .contains(formula.name)) {
            double other = (following[0] - following[1]) / (2 * step) / promised;
            assertTrue(
                    Math.abs(other - 1) > 0.02,
                    what + ": the target does not move, so this test shows nothing: " + other);
        }
    }

    @Test
    void atASingleTimeTheConsistencyLossesAreTheDiagonal() {
        MetaFlowMap map = Objects.requireNonNull(maps.get("transformer"));
        try (TensorScope scope = TensorScope.open()) {
            Example jump = Example.random(map, 5);
            Example at =
                    new Example(jump.start(), jump.start(), jump.fraction(), jump.noise(), jump.data(), jump.context());
            Regression diagonal = Diagonal.of(map, at.pair(), new Velocity.Data());
            assertClose(
                    diagonal.target(),
                    new Eulerian(new Velocity.Data()).of(map, at.pair()).target(),
                    1e-6,
                    "mean flow");
            for (Consistency loss : new Consistency[] {
                new Eulerian(new Velocity.Own()),
                new Progressive(null),
                new Lagrangian(new Velocity.Own(), Through.DERIVATIVE),
                new Lagrangian(new Velocity.Own(), Through.VELOCITY),
                new Lagrangian(new Velocity.Own(), Through.AVERAGE)
            }) {
                Regression regression = loss.of(map, at.pair());
                assertClose(diagonal.prediction(), regression.prediction(), 1e-6, loss + ": prediction");
                assertClose(diagonal.prediction(), regression.target(), 1e-6, loss + ": target");
            }
        }
    }

    @Test
    void terminalVelocityFollowsTheAverageAndCountsJumpsByTheirGuidance() {
        maps.forEach((kind, map) -> {
            try (TensorScope scope = TensorScope.open();
                    MetaFlowMap average = kind.equals("mlp")
                            ? SmallNetworks.mlp(SmallNetworks.mlpConfig(2, 16, 2, 3))
                            : SmallNetworks.transformer()) {
                try (Autograd.Mode off = Autograd.noGrad()) {
                    average.parameters().values().mul_(0.5);
                }
                Example jump = Example.random(map, 7);
                Tensor end = jump.end()
                        .mul(Torch.of(new float[] {0, 1, 1}))
                        .add(jump.start().mul(Torch.of(new float[] {1, 0, 0})));
                Example at = new Example(jump.start(), end, jump.fraction(), jump.noise(), jump.data(), jump.context());
                Regression own = derivative(map, at);
                Tensor there = at.state()
                        .add(at.length().mul(at.velocity(map, at.start(), end, at.state())))
                        .detach();
                Tensor scale = at.wide(
                        Torch.of(new float[] {0, 1 / 2.5f, 1 / 2f})); // the first has equal times; the others are
                // weighted by 1/w
                Regression actual = new TerminalVelocity(average).of(map, at.pair());
                assertClose(own.prediction().mul(scale), actual.prediction(), ROUNDING, kind + ": prediction");
                assertClose(
                        at.velocity(average, end, end, there).mul(scale), actual.target(), ROUNDING, kind + ": target");
                assertFalse(actual.target().requiresGrad(), kind);
            }
        });
    }

    @Test
    void evaluationUnderNoGradRecordsNothing() {
        MetaFlowMap map = Objects.requireNonNull(maps.get("mlp"));
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Example at = Example.random(map, 6);
            formulas()
                    .forEach(formula ->
                            assertFalse(formula.ours.of(map, at).prediction().requiresGrad(), formula.name));
            assertTrue(farthest(at.state(), at.pair().state()) < 1e-6);
        }
    }
}
