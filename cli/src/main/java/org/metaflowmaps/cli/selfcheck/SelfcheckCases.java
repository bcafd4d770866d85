package org.metaflowmaps.cli.selfcheck;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.drift.ConditionalDrift;
import org.metaflowmaps.models.drift.Glass;
import org.metaflowmaps.models.drift.GuidedDrift;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.FlowMapSampler;
import org.metaflowmaps.models.sampler.GlassSampler;
import org.metaflowmaps.models.sampler.Noise;
import org.metaflowmaps.models.sampler.PosteriorSampler;
import org.metaflowmaps.models.sampler.RefinementSampler;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.loss.Consistency;
import org.metaflowmaps.training.loss.Diagonal;
import org.metaflowmaps.training.loss.Eulerian;
import org.metaflowmaps.training.loss.Lagrangian;
import org.metaflowmaps.training.loss.LossValue;
import org.metaflowmaps.training.loss.Pair;
import org.metaflowmaps.training.loss.Progressive;
import org.metaflowmaps.training.loss.Regression;
import org.metaflowmaps.training.loss.Velocity;
import org.metaflowmaps.training.loss.Weighting;
import org.metaflowmaps.training.optim.MovingAverage;
import org.metaflowmaps.training.optim.RAdam;

/** Computes the outputs of each case of a reference file, by name. */
final class SelfcheckCases {
    /** The name of the condition among the outputs of a case with a residual. */
    static final String CONDITION = "condition";

    private SelfcheckCases() {}

    /** Returns this library's outputs, or null for a case without counterpart. */
    static @Nullable Map<String, Tensor> compute(Fixture.Case test) throws IOException {
        String name = test.name();
        if (name.startsWith("diagonal_")) {
            return diagonal(test);
        }
        if (name.startsWith("consistency_")) {
            return consistency(test);
        }
        if (name.startsWith("radam")) {
            return radam(test);
        }
        if (name.matches("(value_gradient|gradient_free|steered_drift)_.*")) {
            try (Autograd.Mode off = Autograd.noGrad()) {
                return SteeringCases.compute(test, condition(test));
            }
        }
        if (name.startsWith("steered_")) {
            try (Autograd.Mode off = Autograd.noGrad()) {
                return SteeredSamplerCases.compute(test, condition(test));
            }
        }
        if (name.startsWith("search_")) {
            return SearchCases.compute(test, condition(test));
        }
        if (name.startsWith("fine_tune_")) {
            return FineTuneCases.compute(test);
        }
        if (name.startsWith("glass_") || name.startsWith("model_guidance")) {
            try (Autograd.Mode off = Autograd.noGrad()) {
                return taught(test);
            }
        }
        try (Autograd.Mode off = Autograd.noGrad()) {
            return value(test);
        }
    }

    private static @Nullable Map<String, Tensor> value(Fixture.Case test) throws IOException {
        String name = test.name();
        FlowMapTransformer map = test.fixture().network("weights");
        if (name.startsWith("average_velocity")) {
            return Map.of("v", map.averageVelocity(test.in("s"), test.in("u"), test.in("x"), context(test)));
        }
        if (name.equals("flow_map")) {
            return Map.of("x_u", map.flowMap(test.in("s"), test.in("u"), test.in("x"), context(test)));
        }
        if (name.equals("unconditional_drift")) {
            Tensor time = test.in("t");
            Tensor state = test.in("x");
            return Map.of("b", map.averageVelocity(time, time, state, Context.unconditional(state, condition(test))));
        }
        if (name.startsWith("jvp_")) {
            return derivative(test, map);
        }
        if (name.matches("posterior_\\d+_step")) {
            return Map.of(
                    "x_1",
                    new PosteriorSampler(map, steps(test))
                            .sample(test.in("noise"), context(test))
                            .samples());
        }
        if (name.startsWith("kernel_sampler_")) {
            return Map.of(
                    "x_1",
                    new RefinementSampler(map, steps(test))
                            .sample(alternately(test), guided(test))
                            .samples());
        }
        if (name.startsWith("flow_map_sampler_")) {
            return Map.of(
                    "x_1",
                    new FlowMapSampler(map, steps(test))
                            .sample(test.in("x_0"), guided(test))
                            .samples());
        }
        return null;
    }

    private static @Nullable Map<String, Tensor> taught(Fixture.Case test) throws IOException {
        if (test.name().startsWith("glass_velocity_")) {
            return Map.of("v", glass(test).at(test.in("s"), test.in("x_bar"), context(test)));
        }
        if (test.name().startsWith("glass_sampler_")) {
            return Map.of(
                    "x_1",
                    new GlassSampler(glass(test), steps(test))
                            .sample(test.in("noise"), context(test))
                            .samples());
        }
        if (!test.name().equals("model_guidance_target")) {
            return null;
        }
        FlowMapTransformer map = test.fixture().network("weights");
        Tensor state = test.in("x");
        Tensor start = test.in("s");
        Context context = context(test);
        Condition none = Condition.unlabelled(map.classes(), state.size(0), state.device());
        // A pair with noise x - flow_target·s and data x + flow_target·(1-s) passes through x at s with that velocity.
        Tensor flow = test.in("flow_target");
        Tensor wide = MetaFlowMap.perItem(start, state);
        Pair pair = new Pair(
                start,
                start,
                null,
                state.sub(flow.mul(wide)),
                state.add(flow.mul(wide.neg().add(1))),
                context);
        return Map.of(
                "v_guided",
                map.averageVelocity(start, start, state, context),
                "v_unconditional",
                map.averageVelocity(start, start, state, context.with(none)),
                "target",
                new Velocity.Guided(0).atStart(map, pair));
    }

    /** Returns the conditional drift of the file's teacher, guided as in the case. */
    private static ConditionalDrift glass(Fixture.Case test) throws IOException {
        FlowMapTransformer teacher = test.fixture().network("teacher");
        double builtIn = test.numbers().path("teacher").asString("").equals("dmf")
                ? test.numbers().path("omega").asDouble()
                : 0;
        // The public code's floor, if the case has one.
        return new Glass(
                new GuidedDrift(new NetworkDrift(teacher), teacher.classes(), builtIn),
                test.numbers().path("eps").asDouble(1e-6));
    }

    private static int steps(Fixture.Case test) {
        return test.numbers().path("steps").asInt();
    }

    /** Returns the case's labels at its guidance scale. */
    private static Condition guided(Fixture.Case test) {
        Tensor labels = test.in("labels");
        double scale = test.numbers().path("guidance").asDouble();
        return Condition.labelled(labels).guided(Torch.full(scale, test.type(), labels.device(), labels.size(0)));
    }

    /** Returns the initial noise, then in turn the k-th noise of the posterior draw and of re-noising. */
    private static Noise alternately(Fixture.Case test) {
        int[] calls = {-1};
        return () -> {
            int call = calls[0]++;
            return call < 0
                    ? test.in("x_0")
                    : test.in(call % 2 == 0 ? "posterior_noise" : "renoise").select(0, call / 2);
        };
    }

    private static Context context(Fixture.Case test) {
        return new Context(test.in("t"), test.in("x_t"), condition(test));
    }

    private static Condition condition(Fixture.Case test) {
        Condition condition = test.has("labels") ? Condition.labelled(test.in("labels")) : Condition.none();
        return test.has("guidance") ? condition.guided(test.in("guidance")) : condition;
    }

    private static @Nullable Tensor optional(Fixture.Case test, String input) {
        return test.has(input) ? test.in(input) : null;
    }

    private static Map<String, Tensor> derivative(Fixture.Case test, FlowMapTransformer map) {
        Dual start = Dual.constant(test.in("s"));
        Dual end = Dual.constant(test.in("u"));
        Dual state = Dual.constant(test.in("x"));
        if (test.name().equals("jvp_start")) {
            start = Dual.of(start.primal(), Torch.onesLike(start.primal()));
            state = Dual.of(state.primal(), test.in("tangent_x"));
        } else {
            end = Dual.of(end.primal(), Torch.onesLike(end.primal()));
        }
        Dual velocity = map.averageVelocity(start, end, state, context(test));
        return Map.of("jvp", velocity.tangentOrZero(), "v", velocity.primal());
    }

    private static Map<String, Tensor> diagonal(Fixture.Case test) throws IOException {
        FlowMapTransformer map = test.fixture().network("weights");
        Weighting weighting = switch (test.numbers().path("weighting").asString()) {
            case "l2" -> new Weighting.L2();
            case "lv" -> new Weighting.LogVariance();
            default -> adaptive(test);
        };
        Pair pair = pair(test, test.in("s"));
        Regression regression = Diagonal.of(map, pair, new Velocity.Data());
        LossValue weighted = weighting.apply(regression, pair);
        Map<String, Tensor> values = gradients(map, weighted.loss());
        values.put("loss", weighted.loss());
        values.put("raw", raw(weighting, weighted, regression));
        values.put(CONDITION, condition(weighting, regression));
        return values;
    }

    /**
     * Returns the value that the public code reports with a loss: the mean square for lv, the loss itself for adaptive
     * weighting.
     */
    private static Tensor raw(Weighting weighting, LossValue weighted, Regression regression) {
        return switch (weighting) {
            case Weighting.LogVariance lv -> regression.perEntry(weighted.error());
            case Weighting.Adaptive adaptive -> weighted.loss().detach();
            default -> weighted.error();
        };
    }

    private static @Nullable Map<String, Tensor> consistency(Fixture.Case test) throws IOException {
        Consistency loss = switch (test.name().substring("consistency_".length())) {
            case "mean_flow" -> new Eulerian(new Velocity.Data());
            case "eulerian" -> new Eulerian(new Velocity.Own());
            case "eulerian_teacher" -> new Eulerian(new Velocity.Taught(glass(test)));
            case "lagrangian" -> new Lagrangian(new Velocity.Own(), Lagrangian.Through.VELOCITY);
            case "semigroup" -> new Progressive(null);
            default -> null;
        };
        if (loss == null) {
            return null;
        }
        FlowMapTransformer map = test.fixture().network("weights");
        Pair pair = pair(test, test.in("u"));
        Regression regression = loss.of(map, pair);
        Weighting weighting = adaptive(test);
        LossValue weighted = weighting.apply(regression, pair);
        Map<String, Tensor> values = gradients(map, weighted.loss());
        values.put("loss", weighted.loss());
        values.put("student", regression.prediction());
        values.put("teacher", regression.target());
        values.put(CONDITION, condition(weighting, regression));
        return values;
    }

    /**
     * Returns the size of a loss's velocities relative to its residuals: ‖w·|v|‖ / ‖w·|r|‖ over items, where w·r is the
     * loss's derivative by the prediction v up to a common factor. This is the factor by which rounding of v affects
     * the gradient.
     */
    private static Tensor condition(Weighting weighting, Regression regression) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor velocity = regression.prediction().to(DType.FLOAT64);
            Tensor residual = velocity.sub(regression.target().to(DType.FLOAT64));
            long items = velocity.size(0);
            Tensor error = residual.square().reshape(items, -1).sum(1);
            Tensor weight = switch (weighting) {
                case Weighting.Adaptive adaptive -> error.add(adaptive.c()).pow(-adaptive.p());
                case Weighting.LogVariance lv ->
                    error.mul((double) items / velocity.numel()).add(1).reciprocal();
                default -> Torch.onesLike(error);
            };
            Tensor sizes = velocity.square().reshape(items, -1).sum(1).sqrt();
            return scope.keep(
                    sizes.mul(weight).norm().div(error.sqrt().mul(weight).norm()));
        }
    }

    private static Weighting adaptive(Fixture.Case test) {
        return new Weighting.Adaptive(
                test.numbers().path("adaptive_p").asDouble(),
                test.numbers().path("adaptive_c").asDouble());
    }

    private static Pair pair(Fixture.Case test, Tensor end) {
        return new Pair(test.in("s"), end, optional(test, "gamma"), test.in("x_0"), test.in("x_1"), context(test));
    }

    /** Differentiates a loss for all parameters of a map; the gradients by their outputs' names. */
    static Map<String, Tensor> gradients(MetaFlowMap map, Tensor loss) {
        ParameterArena arena = map.parameters();
        arena.gradients().zero_();
        Autograd.backward(loss);
        Map<String, Tensor> values = new LinkedHashMap<>();
        arena.parameters().keySet().forEach(name -> values.put("grad/" + name, arena.view(name, arena.gradients())));
        return values;
    }

    private static Map<String, Tensor> radam(Fixture.Case test) {
        Tensor first = test.in("p");
        Tensor gradients = test.in("grads");
        Device device = first.device();
        try (ParameterArena arena = new ParameterArena(Map.of("p", first.shape()), device, test.type());
                RAdam optimizer = new RAdam(
                        arena,
                        test.numbers().path("beta1").asDouble(),
                        test.numbers().path("beta2").asDouble(),
                        test.numbers().path("eps").asDouble());
                Autograd.Mode off = Autograd.noGrad()) {
            arena.get("p").copy_(first);
            try (MovingAverage average =
                    new MovingAverage(arena, test.numbers().path("ema_decay").asDouble(), 0)) {
                for (long step = 0; step < gradients.size(0); step++) {
                    arena.view("p", arena.gradients()).copy_(gradients.select(0, step));
                    optimizer.step(test.numbers().path("lr").asDouble());
                    average.update(step);
                }
                return Map.of(
                        "p",
                        arena.get("p").detach().clone(),
                        "ema",
                        arena.view("p", average.values()).clone());
            }
        }
    }
}
