package org.metaflowmaps.steering.value;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.cuda.StepGraph;

/**
 * Runs functions of a {@link Point} as CUDA graphs: one graph for all steps of a sampler and all batches of one size,
 * because the time is an input of the graph. On the CPU, or if CUDA refuses, functions run as they are. Results are the
 * same.
 *
 * <p>The first run records the requests for noise; later runs draw that noise before they start the graph, and judge
 * scores after it. A function that asks for the point's time, step or noise itself, as estimators of an application may,
 * has one graph for each step.
 *
 * <p>Thread safety: one thread at a time, the one that made it. Close it before the map and the reward.
 */
public final class PointGraphs implements AutoCloseable {
    private static final int MOST_PLANS = 10_000;

    private final StepGraph graphs;
    private final Map<Key, Plan> plans = new LinkedHashMap<>(16, 0.75f, true);

    /**
     * Makes an empty cache of graphs.
     *
     * @param device of the states
     * @param most graphs kept, at least 1: one for each function and batch size
     */
    public PointGraphs(Device device, int most) {
        this.graphs = new StepGraph(device, most);
    }

    /** Identifies a graph. Time and step are -1 for all steps. */
    private record Key(
            Object what, long rows, boolean labels, boolean guidance, boolean autocast, double time, int step) {
        static Key of(Object what, Point point) {
            Condition condition = point.condition();
            return new Key(
                    what,
                    point.rows(),
                    condition.labels().isPresent(),
                    condition.guidance().isPresent(),
                    Autocast.isOn(Device.Type.CUDA),
                    -1,
                    -1);
        }

        Key at(Point point) {
            return new Key(what, rows, labels, guidance, autocast, point.time(), point.step());
        }
    }

    /**
     * A request of noise.
     *
     * @param ahead its step less that of the point
     */
    private record Request(SteeringNoise.Use use, int ahead, int first, int draws) {
        Tensor from(Point point) {
            return point.noise().normal(use, point.step() + ahead, first, draws);
        }
    }

    /** What a run takes and records besides its tensors. */
    private static final class Plan {
        private final List<Request> noise = new ArrayList<>();
        private final List<ScoreGuard.Source> scores = new ArrayList<>();
        private boolean isOfOneStep;
    }

    /** Passes requests on, and lists them. */
    private record Listed(SteeringNoise noise, int now, List<Request> requests) implements SteeringNoise {
        @Override
        public Tensor normal(Use use, int step, int first, int draws) {
            requests.add(new Request(use, step - now, first, draws));
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

    /** Noise that was drawn before; another request than a planned one is passed on, and so refused in a capture. */
    private record Drawn(SteeringNoise noise, int now, List<Request> planned, List<Tensor> tensors)
            implements SteeringNoise {
        @Override
        public Tensor normal(Use use, int step, int first, int draws) {
            int found = planned.indexOf(new Request(use, step - now, first, draws));
            return found < 0
                    ? noise.normal(use, step, first, draws)
                    : tensors.get(found).detach();
        }

        @Override
        public Tensor uniform(Use use, int step) {
            return noise.uniform(use, step);
        }
    }

    /**
     * Runs a function.
     *
     * @param what identifies it, with every setting that it depends on; compared by {@code equals}
     * @param work returns tensors without a gradient graph, in the innermost open scope
     * @return its results, in the innermost open scope
     */
    List<Tensor> run(Object what, Point point, Function<Point, List<Tensor>> work) {
        Key key = Key.of(what, point);
        Plan plan = plans.get(key);
        if (plan != null && plan.isOfOneStep) {
            key = key.at(point);
            plan = plans.get(key);
        }
        return plan == null ? listed(Key.of(what, point), point, work) : planned(key, plan, point, work);
    }

    /** Runs a function as it is, and records its requests. */
    private List<Tensor> listed(Key key, Point point, Function<Point, List<Tensor>> work) {
        Plan plan = new Plan();
        Point listed = new Point(
                point.time(),
                point.step(),
                point.state(),
                point.condition(),
                new Listed(point.noise(), point.step(), plan.noise),
                point.guard());
        List<Tensor> results = work.apply(listed);
        plan.isOfOneStep = listed.isRead();
        plans.put(key, plan);
        if (plan.isOfOneStep) {
            plans.put(key.at(point), plan);
        }
        while (plans.size() > MOST_PLANS) {
            plans.remove(plans.keySet().iterator().next());
        }
        return results;
    }

    private List<Tensor> planned(Key key, Plan plan, Point point, Function<Point, List<Tensor>> work) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor time = Torch.full(point.time(), DType.FLOAT64, point.state().device());
            List<Tensor> inputs = new ArrayList<>(List.of(point.state(), time));
            plan.noise.forEach(request -> inputs.add(request.from(point)));
            point.condition().map(tensor -> {
                inputs.add(tensor);
                return tensor;
            });
            List<Tensor> results = graphs.run(key, inputs, own -> run(point, plan, own, work));
            int first = results.size() - plan.scores.size();
            for (int i = 0; i < plan.scores.size(); i++) {
                point.record(plan.scores.get(i), results.get(first + i));
            }
            return results.subList(0, first).stream().map(scope::keep).toList();
        }
    }

    /** Returns the function's results, then the scores that a guard would have recorded. */
    private static List<Tensor> run(Point point, Plan plan, List<Tensor> inputs, Function<Point, List<Tensor>> work) {
        int conditions = 2 + plan.noise.size();
        List<Tensor> rest = new ArrayList<>(inputs.subList(conditions, inputs.size()));
        ScoreGuard.Deferred deferred = new ScoreGuard.Deferred();
        try (ScoreGuard guard = new ScoreGuard(deferred)) {
            Point own = new Point(
                    point.time(),
                    point.step(),
                    inputs.getFirst(),
                    point.condition().map(tensor -> rest.removeFirst()),
                    new Drawn(point.noise(), point.step(), plan.noise, inputs.subList(2, conditions)),
                    guard,
                    inputs.get(1));
            List<Tensor> results = new ArrayList<>(work.apply(own));
            plan.scores.clear();
            plan.scores.addAll(deferred.sources());
            // A step that asks for its time only sometimes: the next one has a graph of its own.
            plan.isOfOneStep |= own.isRead();
            // Views in this scope; the guard frees its own.
            deferred.scores().forEach(scores -> results.add(scores.detach()));
            return results;
        }
    }

    /** Returns the graphs, owned by this object, to see whether a capture was refused. */
    public StepGraph graphs() {
        return graphs;
    }

    /** Frees the graphs; what the functions use stays the caller's. */
    @Override
    public void close() {
        graphs.close();
    }
}
