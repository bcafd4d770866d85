package org.metaflowmaps.cli.selfcheck;

import java.io.IOException;
import java.util.Map;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.particle.GreedySearch;
import org.metaflowmaps.steering.particle.GreedySearch.Renoising;
import org.metaflowmaps.steering.particle.GreedySearch.Resampling;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.SteeringNoise;
import org.metaflowmaps.steering.value.ValueFunction;

/** Greedy searches with given noise. */
final class SearchCases {
    private SearchCases() {}

    /** The noise of a case, step by step. */
    private record Given(Fixture.Case test) implements SteeringNoise {
        @Override
        public Tensor normal(Use use, int step, int first, int count) {
            return switch (use) {
                case START -> rows(test.in("x_0")).unsqueeze(1);
                case DRAW -> rows(test.in("noise").select(0, step)).narrow(1, first, count);
                case TRANSITION ->
                    rows(test.in("transition_noise").select(0, step)).unsqueeze(1);
                case DIFFUSION, RESAMPLING ->
                    throw new UnsupportedOperationException("a greedy search needs no noise for " + use);
            };
        }

        /** Merges the dimensions of items and particles. */
        private static Tensor rows(Tensor noise) {
            return noise.reshape(noise.shape().from(2).prepend(noise.size(0) * noise.size(1)));
        }

        /** A greedy search uses only the number of items. */
        @Override
        public Tensor uniform(Use use, int step) {
            Tensor start = test.in("x_0");
            return Torch.zeros(DType.FLOAT64, start.device(), start.size(0));
        }
    }

    /** Returns this library's outputs. */
    static Map<String, Tensor> compute(Fixture.Case test, Condition condition) throws IOException {
        FlowMapTransformer map = test.fixture().network("weights");
        ValueFunction value = new ValueFunction(
                map,
                new Tilt(new SteeringCases.Target(test.in("reward_target")), 1),
                test.numbers().path("samples").asInt());
        TimeGrid grid = TimeGrid.linspace(
                        test.numbers().path("t_start").asDouble(),
                        test.numbers().path("steps").asInt())
                .power(test.numbers().path("step_power").asDouble());
        GreedySearch search = new GreedySearch(
                value,
                grid,
                test.numbers().path("particles").asInt(),
                test.numbers().path("resampling").asString().equals("max_overall")
                        ? Resampling.MAX_OVERALL
                        : Resampling.MAX_PER_PARTICLE,
                test.numbers().path("transition").asString().equals("stochastic")
                        ? Renoising.STOCHASTIC
                        : Renoising.DETERMINISTIC);
        return Map.of("x_1", search.run(new Given(test), condition).particles());
    }
}
