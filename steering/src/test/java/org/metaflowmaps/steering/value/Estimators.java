package org.metaflowmaps.steering.value;

import java.util.List;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.GradientFree.Centre;

/** One estimator of each kind. */
final class Estimators {
    private Estimators() {}

    static List<ValueGradient> all(MetaFlowMap map, Tilt tilt, int draws) {
        Drift drift = new NetworkDrift(map, false);
        ValueFunction value = new ValueFunction(map, tilt, draws);
        return List.of(
                new NoSteering(drift),
                new MonteCarloGradient(drift, value, Coefficient.PAPER),
                new GradientFree(drift, value, Centre.DRAWS),
                new GradientFree(drift, value, Centre.DENOISER),
                new PosteriorMeanGradient(drift, tilt, Coefficient.PAPER),
                new LookAheadGradient(drift, map, tilt, Coefficient.PAPER));
    }
}
