package org.metaflowmaps.training.loss;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.training.model.Refusal.assertRefused;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.training.model.MetaFlowMap;
import org.metaflowmaps.training.model.MlpConfig;
import org.metaflowmaps.training.model.Networks;

final class AlphaFlowTest {
    /** A sigmoid of steepness 25 over the interval, cut off at 1/200 from either end. */
    @ParameterizedTest
    @CsvSource({"0, 1", "99, 1", "100, 1", "120, 1", "130, 1", "140, 0.9847328", "150, 0.8892727", "160, 0.5",
        "170, 0.1107273", "180, 0.0152672", "184, 0.0066929", "190, 0", "199, 0", "220, 0", "221, 0"})
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

    @Test
    void errorsCountByTheInverseOfAlpha() {
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = Networks.mlp(new MlpConfig(2, 8, 1, 3))) {
            Pair pair = Example.random(map, 1).pair();
            Velocity data = new Velocity.Data();
            assertEquals(4, new AlphaFlow(data, 0.25).of(map, pair).factor());
            assertEquals(1, new AlphaFlow(data, 1).of(map, pair).factor());
            assertEquals(1, new AlphaFlow(data, 0).of(map, pair).factor());
        }
    }

    @Test
    void numbersOutOfRangeAreRefused() {
        assertRefused(() -> new AlphaFlow(new Velocity.Data(), 1.1), "alpha is 1.1", "0 to 1");
        assertRefused(() -> new AlphaFlow(new Velocity.Data(), Double.NaN), "alpha is NaN");
        assertRefused(() -> new Shortcut(null, -1), "bound is -1.0");
    }
}
