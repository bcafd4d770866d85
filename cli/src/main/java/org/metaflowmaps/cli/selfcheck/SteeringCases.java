package org.metaflowmaps.cli.selfcheck;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiFunction;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Reward;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.sampler.CorrectionScale;
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.steering.value.GradientFree;
import org.metaflowmaps.steering.value.MonteCarloGradient;
import org.metaflowmaps.steering.value.NoSteering;
import org.metaflowmaps.steering.value.Point;
import org.metaflowmaps.steering.value.PosteriorMeanGradient;
import org.metaflowmaps.steering.value.SteeringNoise;
import org.metaflowmaps.steering.value.ValueFunction;
import org.metaflowmaps.steering.value.ValueGradient;

/** Value gradients and steered drifts, item by item, because each has its own time. */
final class SteeringCases {
    private SteeringCases() {}

    /** -½·mean((x - target)²) of each item: the reward of all cases. */
    record Target(Tensor target) implements Reward {
        @Override
        public String name() {
            return "target";
        }

        @Override
        public boolean takesStates() {
            return true;
        }

        @Override
        public Tensor score(Tensor samples, Condition condition) {
            return samples.sub(target)
                    .square()
                    .reshape(samples.size(0), -1)
                    .mean(1)
                    .mul(-0.5);
        }
    }

    /** Given draws for one row: (N, item shape). */
    private record Given(Tensor draws) implements SteeringNoise {
        @Override
        public Tensor normal(Use use, int step, int first, int count) {
            return draws.narrow(0, first, count).unsqueeze(0);
        }

        @Override
        public Tensor uniform(Use use, int step) {
            throw new UnsupportedOperationException("a value gradient needs no uniform numbers");
        }
    }

    /** Returns this library's outputs, or null for a case without counterpart. */
    static @Nullable Map<String, Tensor> compute(Fixture.Case test, Condition condition) throws IOException {
        FlowMapTransformer map = test.fixture().network("weights");
        Drift drift = new NetworkDrift(map, false);
        Tilt tilt = new Tilt(new Target(test.in("reward_target")), 1);
        int draws = test.numbers().path("samples").asInt();
        if (test.name().startsWith("value_gradient_mc")) {
            // The case expects the gradient without the coefficient.
            ValueFunction value = new ValueFunction(map, tilt, draws);
            Map<String, Tensor> found = items(test, condition, (time, point) -> {
                Tensor correction = new MonteCarloGradient(drift, value, Coefficient.PAPER)
                        .at(point)
                        .correction();
                return Map.of("grad", correction.div(Coefficient.PAPER.at(time)));
            });
            return found;
        }
        if (test.name().equals("gradient_free_correction")) {
            ValueGradient free =
                    new GradientFree(drift, new ValueFunction(map, tilt, draws), GradientFree.Centre.DRAWS);
            return items(
                    test,
                    condition,
                    (time, point) -> Map.of("correction", free.at(point).correction()));
        }
        if (!test.name().startsWith("steered_drift_")) {
            return null;
        }
        ValueGradient estimator = estimator(test.numbers().path("estimator").asString(), drift, map, tilt, draws);
        CorrectionScale scale = new CorrectionScale(
                test.numbers().path("guidance_scale").asDouble(),
                test.numbers().path("renorm").asBoolean() ? CorrectionScale.Mode.RESCALE : CorrectionScale.Mode.NONE,
                1);
        return items(test, condition, (time, point) -> {
            ValueGradient.Estimate estimate = estimator.at(point);
            return Map.of("base", estimate.base(), "drift", scale.drift(estimate.base(), estimate.correction()));
        });
    }

    /** Returns the estimator of that name in the public code. */
    private static ValueGradient estimator(String name, Drift drift, FlowMapTransformer map, Tilt tilt, int draws) {
        return switch (name) {
            case "base" -> new NoSteering(drift);
            case "iwae" -> new MonteCarloGradient(drift, new ValueFunction(map, tilt, draws), Coefficient.PAPER);
            case "sne" -> new GradientFree(drift, new ValueFunction(map, tilt, draws), GradientFree.Centre.DRAWS);
            case "dps" -> new PosteriorMeanGradient(drift, tilt, Coefficient.PAPER);
            default -> throw new IllegalArgumentException("estimator " + name + ", expected base, iwae, sne or dps");
        };
    }

    private static Map<String, Tensor> items(
            Fixture.Case test, Condition condition, BiFunction<Double, Point, Map<String, Tensor>> compute) {
        Tensor state = test.in("x_t");
        double[] times = test.in("t").toDoubleArray();
        Map<String, List<Tensor>> found = new LinkedHashMap<>();
        for (int i = 0; i < times.length; i++) {
            SteeringNoise noise = new Given(test.has("noise") ? test.in("noise").select(0, i) : state);
            Point point = new Point(times[i], 0, state.narrow(0, i, 1), condition.slice(i, 1), noise);
            compute.apply(times[i], point)
                    .forEach((name, value) -> found.computeIfAbsent(name, key -> new ArrayList<>())
                            .add(value));
        }
        Map<String, Tensor> outputs = new LinkedHashMap<>();
        found.forEach((name, values) -> outputs.put(name, Torch.cat(0, values.toArray(new Tensor[0]))));
        return outputs;
    }
}
