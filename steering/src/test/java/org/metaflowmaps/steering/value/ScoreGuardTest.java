package org.metaflowmaps.steering.value;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.HostReads;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Reward;
import org.metaflowmaps.steering.reward.Tilt;

/** The first bad score is reported with its position, and is not read before the check. */
final class ScoreGuardTest {
    private static final double INFINITY = Double.POSITIVE_INFINITY;
    private static final KeyedNoise NOISE =
            new KeyedNoise(1, new long[] {50, 60}, 2, Shape.of(1), DType.FLOAT32, Device.CPU);

    private static Tensor scores(double... values) {
        return Torch.of(values, 4, values.length / 4);
    }

    @Test
    void theFirstBadScoreIsNamed() {
        long live = NativeMemory.liveTensors();
        try (TensorScope scope = TensorScope.open();
                ScoreGuard guard = new ScoreGuard()) {
            long reads = HostReads.count();
            guard.check();
            guard.record("a", 3, NOISE, scores(1, 2, 3, -INFINITY));
            guard.record("b", 4, NOISE, scores(1, 2, 3, 4, 5, INFINITY, Double.NaN, 1));
            guard.record("c", 5, NOISE, scores(Double.NaN, 2, 3, 4));
            assertEquals(reads, HostReads.count());
            assertRefused(
                    BadScoreException.class,
                    guard::check,
                    "reward b gave positive infinity at step 4 for item 60, particle 0");
            assertEquals(reads + 1, HostReads.count());
        }
        assertEquals(live, NativeMemory.liveTensors());
    }

    @Test
    void legalScoresPassAndLaterOnesAreLookedAt() {
        try (TensorScope scope = TensorScope.open();
                ScoreGuard guard = new ScoreGuard()) {
            guard.record("a", 0, NOISE, scores(-INFINITY, 0, 1e300, -1e300));
            guard.check();
            guard.check();
            guard.record("a", 1, NOISE, scores(0, Double.NaN, INFINITY, 0).select(1, 0));
            assertRefused(BadScoreException.class, guard::check, "reward a gave NaN at step 1 for item 50, particle 1");
        }
    }

    /** A score of negative infinity is what must not be drawn; a mirrored reward would make it a must. */
    @Test
    void aMirroredNegativeInfinityIsRefused() {
        Reward never = Rewards.of("never", rows -> rows.mul(0).sum(1).sub(INFINITY));
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = Points.network()) {
            for (double strength : new double[] {1, 0, -2}) {
                try (ScoreGuard guard = new ScoreGuard()) {
                    new ValueFunction(map, new Tilt(never, strength), 2).at(Points.guarded(Points.of(map), guard));
                    if (strength > 0) {
                        guard.check();
                    } else {
                        assertRefused(
                                BadScoreException.class,
                                guard::check,
                                "reward never times lambda = " + strength + " gave "
                                        + (strength == 0 ? "NaN" : "positive infinity"));
                    }
                }
            }
        }
    }

    /** Every estimator records its scores in the guard of the point. */
    @Test
    void estimatorsAreGuarded() {
        Reward bad = Rewards.of("bad", rows -> {
            double legal = rows.size(0) * 2 / 3.0;
            Tensor infinite =
                    Torch.arange(rows.size(0)).lt(legal).to(rows.dtype()).log().neg();
            return rows.square().sum(1).mul(infinite);
        });
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = Points.network()) {
            Tilt tilt = new Tilt(bad, 1);
            for (ValueGradient estimator : Estimators.all(map, tilt, 3)) {
                try (ScoreGuard guard = new ScoreGuard()) {
                    estimator.at(Points.guarded(Points.of(map), guard));
                    if (!(estimator instanceof NoSteering)) {
                        assertRefused(
                                BadScoreException.class, guard::check, "reward bad gave", "at step 6 for item 42");
                    }
                }
            }
        }
    }
}
