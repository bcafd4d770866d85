package org.metaflowmaps.training.loss;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Close.assertClose;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

final class AlphaFlowTest {
    /** A sigmoid of steepness 25 over the interval, cut off at 1/200 from either end. */
    @ParameterizedTest
    @CsvSource({
        "0, 1",
        "99, 1",
        "100, 1",
        "120, 1",
        "130, 1",
        "140, 0.9847328",
        "150, 0.8892727",
        "160, 0.5",
        "170, 0.1107273",
        "180, 0.0152672",
        "184, 0.0066929",
        "190, 0",
        "199, 0",
        "220, 0",
        "221, 0"
    })
    void alphaFallsAlongASigmoid(long step, double alpha) {
        assertEquals(alpha, AlphaFlow.scheduled(step, 100, 220), 1e-7);
    }

    @Test
    void alphaNeverRises() {
        double before = 1;
        for (long step = 0; step < 400; step++) {
            double alpha = AlphaFlow.scheduled(step, 50, 350);
            assertTrue(alpha <= before && alpha >= 0, step + ": " + alpha);
            before = alpha;
        }
        assertEquals(0, before);
        assertEquals(1, AlphaFlow.scheduled(0, 0, 10));
        assertEquals(0, AlphaFlow.scheduled(7, 7, 7), "no schedule is MeanFlow");
    }

    private static final int ITEMS = 256;

    private static Pair pair(MetaFlowMap map) {
        try (RandomSource random = RandomSource.seeded(5)) {
            Tensor one = random.uniform(ITEMS);
            Tensor other = random.uniform(ITEMS);
            Tensor data = random.normal(ITEMS, 2);
            Context context = new Context(
                    random.uniform(ITEMS),
                    random.normal(ITEMS, 2),
                    Condition.labelled(random.integers(0, map.classes() + 1, ITEMS)));
            return new Pair(one.minimum(other), one.maximum(other), null, random.normal(ITEMS, 2), data, context);
        }
    }

    private static Tensor gradient(MetaFlowMap map, Regression regression, Weighting weighting, Pair pair) {
        map.parameters().gradients().zero_();
        Autograd.backward(weighting.apply(regression, pair).loss());
        return map.parameters().gradients().clone();
    }

    /** Under every weighting the gradient has MeanFlow's size and direction, for any small α. */
    @ParameterizedTest
    @CsvSource({"0.1, 0.08", "0.03, 0.05", "0.01, 0.03", "0.005, 0.02", "0.001, 0.01"})
    void theGradientTendsToMeanFlows(double alpha, double bound) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(6);
                MetaFlowMap map = SmallNetworks.mlp(SmallNetworks.mlpConfig(2, 16, 2, 3));
                TimeWeight omega = new TimeWeight(Device.CPU, random)) {
            try (Autograd.Mode off = Autograd.noGrad()) {
                omega.parameters()
                        .values()
                        .add_(random.normal(omega.parameters().values().shape()).mul(0.2));
            }
            Pair pair = pair(map);
            for (Weighting weighting : List.of(
                    new Weighting.L2(),
                    new Weighting.LogVariance(),
                    new Weighting.Adaptive(0, 0.01),
                    new Weighting.Adaptive(0.5, 0.01),
                    new Weighting.Adaptive(1, 0.01),
                    new Weighting.Adaptive(1, 1e-4),
                    new Weighting.Learned(omega),
                    new Weighting.LearnedLogarithm(omega, 0.01))) {
                Velocity.Data data = new Velocity.Data();
                Tensor limit = gradient(map, Example.alphaFlow(data, 0).of(map, pair), weighting, pair);
                Tensor actual = gradient(map, Example.alphaFlow(data, alpha).of(map, pair), weighting, pair);
                double size = limit.norm().item();
                String what = weighting + ", alpha " + alpha + ": ";
                assertTrue(size > 0.01, what + size);
                assertEquals(1, actual.norm().item() / size, bound, what + "ratio");
                assertEquals(0, actual.sub(limit).norm().item() / size, 4 * bound, what + "distance");
            }
        }
    }

    /** Method §4.3: under l2 this is the gradient of the squared error against τ times 1/α. */
    @ParameterizedTest
    @ValueSource(doubles = {0.5, 0.1, 0.03})
    void underL2TheGradientIsThatOfTheScaledLoss(double alpha) {
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = SmallNetworks.mlp(SmallNetworks.mlpConfig(2, 16, 2, 3))) {
            Pair pair = pair(map);
            Tensor g = pair.velocity();
            Tensor step = pair.end().sub(pair.start()).mul(alpha);
            Tensor rest = map.averageVelocity(
                    pair.start().add(step),
                    pair.end(),
                    pair.state().add(MetaFlowMap.perItem(step, g).mul(g)),
                    pair.context());
            Tensor tau = g.mul(alpha).add(rest.mul(1 - alpha)).detach();
            Tensor v = map.averageVelocity(pair.start(), pair.end(), pair.state(), pair.context());
            map.parameters().gradients().zero_();
            Autograd.backward(v.sub(tau).square().sum().div(ITEMS * alpha));
            Tensor expected = map.parameters().gradients().clone();
            Tensor actual = gradient(
                    map, Example.alphaFlow(new Velocity.Data(), alpha).of(map, pair), new Weighting.L2(), pair);
            assertTrue(
                    actual.sub(expected).norm().item() < 1e-4 * expected.norm().item());
        }
    }

    /** A jump of length 0, or too short to split in float32, has no second pass: its target is g. */
    @Test
    void jumpsTooShortToSplitHaveFiniteTargets() {
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = SmallNetworks.mlp(SmallNetworks.mlpConfig(2, 8, 1, 3))) {
            Example jump = Example.random(map, 1);
            Tensor start = Torch.of(new float[] {0.75f, 0.75f, 1});
            Tensor end = Torch.of(new float[] {0.75f, Math.nextUp(0.75f), 1});
            Pair pair = new Pair(start, end, null, jump.noise(), jump.data(), jump.context());
            assertClose(
                    pair.velocity(),
                    Example.alphaFlow(new Velocity.Data(), 0.01).of(map, pair).target(),
                    1e-6,
                    "target");
        }
    }

    @Test
    void numbersOutOfRangeAreRefused() {
        assertRefused(() -> AlphaFlow.Stage.of(1.1), "alpha is 1.1", "0 to 1");
        assertRefused(() -> AlphaFlow.Stage.of(Double.NaN), "alpha is NaN");
        assertRefused(() -> new Shortcut(null, -1), "bound is -1.0");
    }
}
