package org.metaflowmaps.steering.value;

import com.google.common.base.Preconditions;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.cuda.StepGraph;

/**
 * Runs an estimator's steps as CUDA graphs, for many batches that are steered along the same times: each step of the
 * sampler becomes one graph with its draws' backward pass. On the CPU, or if CUDA refuses, the estimator runs as it is.
 * Estimates are the same.
 *
 * <p>The first run of a step records its requests for noise; later runs draw that noise before they start the graph.
 *
 * <p>Thread safety: one thread at a time, the one that made it. Close it before the map and the reward.
 */
public final class CapturedGradient implements ValueGradient, AutoCloseable {
    private final ValueGradient estimator;
    private final int most;
    private final StepGraph graphs;
    private final Map<Key, Plan> plans = new LinkedHashMap<>(16, 0.75f, true);

    /**
     * Captures an estimator.
     *
     * @param estimator not owned
     * @param device of the states
     * @param most graphs kept, at least one for each step of the sampler: with fewer, none is ever used again
     */
    public CapturedGradient(ValueGradient estimator, Device device, int most) {
        this.estimator = Preconditions.checkNotNull(estimator, "captured gradient: the estimator is null");
        this.most = most;
        this.graphs = new StepGraph(device, most);
    }

    /** Identifies the graph of an estimate. */
    private record Key(double time, int step, long rows, boolean labels, boolean guidance, boolean autocast) {
        static Key of(Point point) {
            Condition condition = point.condition();
            return new Key(
                    point.time(),
                    point.step(),
                    point.rows(),
                    condition.labels().isPresent(),
                    condition.guidance().isPresent(),
                    Autocast.isOn(Device.Type.CUDA));
        }
    }

    /** A request of noise. */
    private record Request(SteeringNoise.Use use, int step, int first, int draws) {
        Tensor from(SteeringNoise noise) {
            return noise.normal(use, step, first, draws);
        }
    }

    /** What a step takes and records besides its tensors. */
    private record Plan(List<Request> noise, List<String> rewards) {
        Plan() {
            this(new ArrayList<>(), new ArrayList<>());
        }
    }

    /** Passes requests on, and lists them. */
    private record Listed(SteeringNoise noise, List<Request> requests) implements SteeringNoise {
        @Override
        public Tensor normal(Use use, int step, int first, int draws) {
            requests.add(new Request(use, step, first, draws));
            return noise.normal(use, step, first, draws);
        }

        @Override
        public Tensor uniform(Use use, int step) {
            return noise.uniform(use, step);
        }

        @Override
        public String row(long row) {
            return noise.row(row);
        }
    }

    /** Noise that was drawn before; another request than the planned one is passed on, and so refused in a capture. */
    private record Drawn(SteeringNoise noise, Iterator<Request> planned, Iterator<Tensor> tensors)
            implements SteeringNoise {
        @Override
        public Tensor normal(Use use, int step, int first, int draws) {
            boolean known = planned.hasNext() && planned.next().equals(new Request(use, step, first, draws));
            return known ? tensors.next().detach() : noise.normal(use, step, first, draws);
        }

        @Override
        public Tensor uniform(Use use, int step) {
            return noise.uniform(use, step);
        }
    }

    @Override
    public Estimate at(Point point) {
        Key key = Key.of(point);
        Plan plan = plans.get(key);
        if (plan == null) {
            plan = new Plan();
            Estimate first = estimator.at(new Point(
                    point.time(),
                    point.step(),
                    point.state(),
                    point.condition(),
                    new Listed(point.noise(), plan.noise),
                    point.guard()));
            plans.put(key, plan);
            if (plans.size() > most) {
                plans.remove(plans.keySet().iterator().next());
            }
            return first;
        }
        Plan known = plan;
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            List<Tensor> inputs = new ArrayList<>(List.of(point.state()));
            known.noise.forEach(request -> inputs.add(request.from(point.noise())));
            point.condition().map(tensor -> {
                inputs.add(tensor);
                return tensor;
            });
            List<Tensor> results = graphs.run(key, inputs, own -> run(point, known, own));
            int scores = results.size() - known.rewards.size();
            for (int i = 0; i < known.rewards.size(); i++) {
                point.guard().record(known.rewards.get(i), point.step(), point.noise(), results.get(scores + i));
            }
            return new Estimate(
                    scope.keep(results.get(0)),
                    scope.keep(results.get(1)),
                    scores > 2 ? Optional.of(scope.keep(results.get(2))) : Optional.empty());
        }
    }

    /** Returns the estimate's tensors, then the scores that a guard would have recorded. */
    private List<Tensor> run(Point point, Plan plan, List<Tensor> inputs) {
        int noises = plan.noise.size();
        Iterator<Tensor> rest = inputs.subList(1 + noises, inputs.size()).iterator();
        ScoreGuard.Deferred deferred = new ScoreGuard.Deferred();
        try (ScoreGuard guard = new ScoreGuard(deferred)) {
            Estimate estimate = estimator.at(new Point(
                    point.time(),
                    point.step(),
                    inputs.getFirst(),
                    point.condition().map(tensor -> rest.next()),
                    new Drawn(
                            point.noise(),
                            plan.noise.iterator(),
                            inputs.subList(1, 1 + noises).iterator()),
                    guard));
            List<Tensor> results = new ArrayList<>(List.of(estimate.base(), estimate.correction()));
            estimate.value().ifPresent(results::add);
            plan.rewards.clear();
            plan.rewards.addAll(deferred.rewards());
            // Views in this scope; the guard frees its own.
            deferred.scores().forEach(scores -> results.add(scores.detach()));
            return results;
        }
    }

    @Override
    public long evaluations(Condition condition) {
        return estimator.evaluations(condition);
    }

    /** Returns the graphs, owned by this object, to see whether a capture was refused. */
    public StepGraph graphs() {
        return graphs;
    }

    /** Frees the graphs; the estimator stays the caller's. */
    @Override
    public void close() {
        graphs.close();
    }
}
