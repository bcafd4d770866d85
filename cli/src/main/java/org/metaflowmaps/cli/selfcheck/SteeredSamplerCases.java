package org.metaflowmaps.cli.selfcheck;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Reward;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.sampler.CorrectionScale;
import org.metaflowmaps.steering.sampler.Dynamics;
import org.metaflowmaps.steering.sampler.Schedule;
import org.metaflowmaps.steering.sampler.SteeredSampler;
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.steering.value.GradientFree;
import org.metaflowmaps.steering.value.MonteCarloGradient;
import org.metaflowmaps.steering.value.NoSteering;
import org.metaflowmaps.steering.value.Point;
import org.metaflowmaps.steering.value.PosteriorMeanGradient;
import org.metaflowmaps.steering.value.SteeringNoise;
import org.metaflowmaps.steering.value.ValueFunction;
import org.metaflowmaps.steering.value.ValueGradient;

/** The cases of steered drifts and steered samplers. */
final class SteeredSamplerCases {
    private SteeredSamplerCases() {}

    /** This library's outputs, or null for a case of another kind. */
    static @Nullable Map<String, Tensor> compute(Fixture.Case test) throws IOException {
        if (test.name().startsWith("steered_drift_")) {
            return drift(test);
        }
        return switch (test.name()) {
            case "steered_ode_5_steps" -> sampler(test, Dynamics.ODE);
            // The public code adds noise in the last step.
            case "steered_sde_5_steps" -> sampler(test, new Dynamics.Sde(Coefficient.PAPER, true));
            default -> null;
        };
    }

    /** Base drift and steered drift; the items have times of their own, which a point has not. */
    private static Map<String, Tensor> drift(Fixture.Case test) throws IOException {
        FlowMapTransformer map = test.fixture().network("weights");
        ValueGradient estimator = estimator(test, map);
        CorrectionScale scale = new CorrectionScale(
                test.numbers().path("guidance_scale").asDouble(),
                test.numbers().path("renorm").asBoolean() ? CorrectionScale.Mode.RESCALE : CorrectionScale.Mode.NONE,
                1);
        double[] times = test.in("t").toDoubleArray();
        Tensor states = test.in("x_t");
        Condition condition = condition(test);
        List<Tensor> bases = new ArrayList<>();
        List<Tensor> drifts = new ArrayList<>();
        for (int i = 0; i < times.length; i++) {
            int item = i;
            // Cases without draws have no noise.
            GivenNoise noise = new GivenNoise(
                    states.narrow(0, i, 1),
                    step -> test.in("noise").narrow(0, item, 1),
                    step -> states.narrow(0, item, 1));
            ValueGradient.Estimate estimate =
                    estimator.at(new Point(times[i], 0, states.narrow(0, i, 1), condition.slice(i, 1), noise));
            bases.add(estimate.base());
            drifts.add(scale.drift(estimate.base(), estimate.correction()));
        }
        return Map.of(
                "base", Torch.cat(0, bases.toArray(Tensor[]::new)),
                "drift", Torch.cat(0, drifts.toArray(Tensor[]::new)));
    }

    private static Map<String, Tensor> sampler(Fixture.Case test, Dynamics dynamics) throws IOException {
        FlowMapTransformer map = test.fixture().network("weights");
        ValueGradient estimator =
                new MonteCarloGradient(new NetworkDrift(map), new ValueFunction(map, tilt(test), draws(test)), Coefficient.PAPER);
        TimeGrid grid = TimeGrid.linspace(
                test.numbers().path("t_start").asDouble(), test.numbers().path("steps").asInt());
        SteeringNoise noise = new GivenNoise(
                test.in("x_0"),
                step -> test.in("noise").select(0, step),
                step -> test.in("diffusion_noise").select(0, step));
        return Map.of(
                "x_1",
                new SteeredSampler(
                                Schedule.always(estimator),
                                grid,
                                dynamics,
                                CorrectionScale.EXACT,
                                Optional.empty(),
                                false)
                        .sample(noise, condition(test))
                        .samples());
    }

    private static ValueGradient estimator(Fixture.Case test, FlowMapTransformer map) {
        Drift drift = new NetworkDrift(map);
        ValueFunction value = new ValueFunction(map, tilt(test), draws(test));
        String name = test.numbers().path("estimator").asString("");
        return switch (name) {
            case "base" -> new NoSteering(drift);
            case "iwae" -> new MonteCarloGradient(drift, value, Coefficient.PAPER);
            case "sne" -> new GradientFree(drift, value, GradientFree.Centre.DRAWS);
            case "dps" -> new PosteriorMeanGradient(drift, tilt(test), Coefficient.PAPER);
            default ->
                throw new IllegalArgumentException("case " + test.name() + ": estimator is '" + name
                        + "', expected base, iwae, sne or dps");
        };
    }

    private static int draws(Fixture.Case test) {
        return test.numbers().path("samples").asInt();
    }

    private static Condition condition(Fixture.Case test) {
        return Condition.labelled(test.in("labels")).guided(test.in("guidance"));
    }

    /** The reward of all cases, -½·mean((image - target)²) of each item. */
    private static Tilt tilt(Fixture.Case test) {
        Tensor target = test.in("reward_target").unsqueeze(0);
        return new Tilt(
                new Reward() {
                    @Override
                    public String name() {
                        return "distance to a target";
                    }

                    @Override
                    public Tensor score(Tensor samples, Condition condition) {
                        return samples.sub(target).square().mean(false, 1, 2, 3).mul(-0.5);
                    }

                    @Override
                    public boolean takesStates() {
                        return true;
                    }
                },
                1);
    }
}
