package org.metaflowmaps.cli.selfcheck;

import java.io.IOException;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.sampler.Dynamics;
import org.metaflowmaps.steering.sampler.SteeredSampler;
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.steering.value.MonteCarloGradient;
import org.metaflowmaps.steering.value.SteeringNoise;
import org.metaflowmaps.steering.value.ValueFunction;

/** Steered samplers with given noise. */
final class SteeredSamplerCases {
    private SteeredSamplerCases() {}

    /** The noise of a case, step by step. */
    private record Given(Fixture.Case test) implements SteeringNoise {
        @Override
        public Tensor normal(Use use, int step, int first, int count) {
            return switch (use) {
                case START -> test.in("x_0").unsqueeze(1);
                case DRAW -> test.in("noise").select(0, step).narrow(1, first, count);
                case DIFFUSION -> test.in("diffusion_noise").select(0, step).unsqueeze(1);
                case TRANSITION, RESAMPLING ->
                    throw new UnsupportedOperationException("a steered sampler needs no noise for " + use);
            };
        }

        @Override
        public Tensor uniform(Use use, int step) {
            throw new UnsupportedOperationException("a steered sampler needs no uniform numbers");
        }
    }

    /** Returns this library's outputs, or null for a case without counterpart. */
    static @Nullable Map<String, Tensor> compute(Fixture.Case test, Condition condition) throws IOException {
        Dynamics dynamics = switch (test.name()) {
            case "steered_ode_5_steps" -> Dynamics.ODE;
            // The public code adds noise in the last step too.
            case "steered_sde_5_steps" -> new Dynamics.Sde(Coefficient.PAPER, true);
            default -> null;
        };
        if (dynamics == null) {
            return null;
        }
        FlowMapTransformer map = test.fixture().network("weights");
        ValueFunction value = new ValueFunction(
                map,
                new Tilt(new SteeringCases.Target(test.in("reward_target")), 1),
                test.numbers().path("samples").asInt());
        TimeGrid grid = TimeGrid.linspace(
                test.numbers().path("t_start").asDouble(),
                test.numbers().path("steps").asInt());
        SteeredSampler sampler = new SteeredSampler(
                new MonteCarloGradient(new NetworkDrift(map, false), value, Coefficient.PAPER), grid, dynamics);
        return Map.of("x_1", sampler.sample(new Given(test), condition).samples());
    }
}
