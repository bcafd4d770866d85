package org.metaflowmaps.steering.value;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.model.BlockTape;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.models.sampler.Solver;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.cuda.AllocatorStatistics;
import org.metaflowmaps.runtime.cuda.StepGraph;
import org.metaflowmaps.runtime.pretend.Pretend;
import org.metaflowmaps.runtime.pretend.PretendCuda;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.sampler.CorrectionScale;
import org.metaflowmaps.steering.sampler.Dynamics;
import org.metaflowmaps.steering.sampler.Schedule;
import org.metaflowmaps.steering.sampler.SteeredSampler;

/** Steered sampling on a GPU: the host waits for no step, and steps can be captured. */
@Pretend
final class SteeringPretendTest {
    private static final Device GPU = Device.cuda(0);

    /** Of a width for which there are kernels. */
    private static final TransformerConfig NETWORK =
            SmallNetworks.config().toBuilder().hiddenSize(128).build();

    private static final int ROWS = 3;
    private static final int DRAWS = 2;

    private static Tilt tilt() {
        return new Tilt(
                Rewards.of("pull", rows -> rows.sub(0.5).square().mean(1).mul(-3)), 2);
    }

    private static FlowMapTransformer map() {
        return FlowMapTransformer.zeros(NETWORK, GPU.available());
    }

    private static Condition labels() {
        return Condition.labelled(Torch.zeros(DType.INT64, GPU, ROWS));
    }

    private static PretendCuda.Counters sample(MetaFlowMap map, ValueGradient estimator, Dynamics dynamics, int steps) {
        KeyedNoise noise = KeyedNoise.of(1, 0, ROWS, 1, map.itemShape(), GPU);
        SteeredSampler sampler = new SteeredSampler(
                Schedule.always(estimator),
                TimeGrid.linspace(0.01, steps),
                dynamics,
                CorrectionScale.PAPER,
                Optional.of(tilt()),
                true);
        try (TensorScope scope = TensorScope.open()) {
            Condition labels = labels();
            return PretendCuda.count(() -> {
                try {
                    sampler.sample(noise, labels);
                } catch (BadScoreException e) {
                    // The device computes nothing, so the scores that are read at the end have no meaning.
                }
            });
        }
    }

    /** Scores are read once, at the end; the steps read nothing, whatever estimator and dynamics. */
    @Test
    void theHostWaitsForNoStep() {
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = map()) {
            for (ValueGradient estimator : Estimators.all(map, tilt(), DRAWS)) {
                for (Dynamics dynamics : List.of(Dynamics.ODE, new Dynamics.Ode(Solver.HEUN), Dynamics.SDE)) {
                    sample(map, estimator, dynamics, 4);
                    PretendCuda.Counters few = sample(map, estimator, dynamics, 4);
                    PretendCuda.Counters many = sample(map, estimator, dynamics, 8);
                    String what = estimator.getClass().getSimpleName() + ", " + dynamics;
                    assertEquals(1, few.copiesToHost(), what);
                    assertEquals(1, few.synchronisations(), what);
                    assertEquals(few.hostReads(), many.hostReads(), what);
                    assertEquals(0, many.legacyWork(), what);
                    System.out.printf(
                            Locale.ROOT,
                            "%s: %d kernels, %d products, %d uploads a step%n",
                            what,
                            (many.launches() - few.launches()) / 4,
                            (many.products() - few.products()) / 4,
                            (many.copiesToDevice() - few.copiesToDevice()) / 4);
                }
            }
        }
    }

    /** Noise from tensors that were drawn before. */
    private static final class Given implements SteeringNoise {
        private final Iterator<Tensor> noise;

        Given(List<Tensor> noise) {
            this.noise = noise.iterator();
        }

        @Override
        public Tensor normal(Use use, int step, int first, int draws) {
            return noise.next().detach();
        }

        @Override
        public Tensor uniform(Use use, int step) {
            throw new UnsupportedOperationException("a steered sampler does not resample");
        }
    }

    /** The estimate of every estimator is captured, with its backward pass. */
    @Test
    void everyEstimateIsCaptured() {
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = map();
                RandomSource random = RandomSource.seeded(1, GPU);
                StepGraph graphs = new StepGraph(GPU, 100);
                Autograd.Mode off = Autograd.noGrad()) {
            List<Tensor> inputs = new ArrayList<>(List.of(
                    random.normal(map.itemShape().prepend(ROWS)),
                    Torch.zeros(DType.INT64, GPU, ROWS),
                    random.normal(map.itemShape().prepend(ROWS, DRAWS))));
            int number = 0;
            for (ValueGradient estimator : Estimators.all(map, tilt(), DRAWS)) {
                StepGraph.Step step = given -> {
                    SteeringNoise noise = new Given(given.subList(2, 3));
                    ValueGradient.Estimate estimate =
                            estimator.at(new Point(0.3, 5, given.get(0), Condition.labelled(given.get(1)), noise));
                    List<Tensor> results = new ArrayList<>(List.of(estimate.base(), estimate.correction()));
                    estimate.value().ifPresent(results::add);
                    return results;
                };
                Object key = number++;
                for (int i = 0; i < 4; i++) {
                    graphs.run(key, inputs, step);
                }
                assertEquals(Optional.empty(), graphs.refusal(), estimator.toString());
                PretendCuda.Counters replayed = PretendCuda.count(() -> graphs.run(key, inputs, step));
                assertEquals(1, replayed.graphLaunches(), estimator.toString());
                assertEquals(0, replayed.launches(), estimator.toString());
            }
            assertEquals(number, graphs.captures());
            assertTrue(graphs.nodes() > 500, "nodes: " + graphs.nodes());
        }
    }

    /** All steps of a sampler are one graph, whose noise is drawn before and whose scores are judged after. */
    @Test
    void aCapturedEstimatorReplays() {
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = map()) {
            long live = PretendCuda.read().liveGraphs();
            for (ValueGradient estimator : Estimators.all(map, tilt(), DRAWS)) {
                String what = estimator.getClass().getSimpleName();
                try (PointGraphs graphs = new PointGraphs(GPU, 1)) {
                    CapturedGradient captured = new CapturedGradient(estimator, graphs);
                    // One step lists the noise and three warm up.
                    assertEquals(0, sample(map, captured, Dynamics.SDE, 4).graphLaunches(), what);
                    assertEquals(4, sample(map, captured, Dynamics.SDE, 4).graphLaunches(), what);
                    assertEquals(Optional.empty(), graphs.graphs().refusal(), what);
                    PretendCuda.Counters plain = sample(map, estimator, Dynamics.SDE, 4);
                    PretendCuda.Counters replayed = sample(map, captured, Dynamics.SDE, 4);
                    assertEquals(1, graphs.graphs().captures(), what);
                    assertEquals(4, replayed.graphLaunches(), what);
                    assertEquals(0, replayed.products(), what);
                    assertEquals(plain.hostReads(), replayed.hostReads(), what);
                    assertEquals(plain.copiesToDevice(), replayed.copiesToDevice(), what);
                    System.out.printf(
                            Locale.ROOT,
                            "%s: %d operations a step, captured %d%n",
                            what,
                            plain.submitted() / 4,
                            replayed.submitted() / 4);
                }
            }
            assertEquals(live, PretendCuda.read().liveGraphs());
        }
    }

    /** The draws of a search and the scores of a filter are graphs, too. */
    @Test
    void aCapturedValueFunctionReplays() {
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = map();
                PointGraphs graphs = new PointGraphs(GPU, 2)) {
            ValueFunction value = new ValueFunction(map, tilt(), DRAWS).captured(graphs);
            KeyedNoise noise = KeyedNoise.of(1, 0, ROWS, 1, map.itemShape(), GPU);
            Tensor state = noise.normal(SteeringNoise.Use.START, 0);
            Condition labels = labels();
            for (int step = 0; step < 5; step++) {
                Point point = new Point(0.1 * step, step, state, labels, noise);
                value.draws(point);
                value.scores(point);
            }
            assertEquals(Optional.empty(), graphs.graphs().refusal());
            assertEquals(2, graphs.graphs().captures());
            PretendCuda.Counters replayed =
                    PretendCuda.count(() -> value.draws(new Point(0.9, 9, state, labels, noise)));
            assertEquals(1, replayed.graphLaunches());
            assertEquals(0, replayed.products());
            assertEquals(0, replayed.hostReads());
        }
    }

    /** What a gradient of draws takes. */
    private record Price(PretendCuda.Counters work, double peak) {
        static Price of(MetaFlowMap map, int rows, boolean narrow, boolean onTape) {
            AllocatorStatistics.emptyCache(GPU);
            try (TensorScope scope = TensorScope.open()) {
                Tensor leaf = Torch.zeros(DType.FLOAT32, GPU, map.itemShape().prepend(rows))
                        .requiresGrad_(true);
                Tensor time = Torch.full(0.5, DType.FLOAT32, GPU, rows);
                Condition labels = Condition.labelled(Torch.zeros(DType.INT64, GPU, rows));
                AllocatorStatistics.resetPeaks(GPU);
                PretendCuda.Counters work =
                        PretendCuda.count(() -> gradient(map, Context.unchecked(time, leaf, labels), narrow, onTape));
                return new Price(work, AllocatorStatistics.of(GPU).peakAllocated() / 0x1p30);
            }
        }

        private static void gradient(MetaFlowMap map, Context context, boolean narrow, boolean onTape) {
            Tensor leaf = context.state();
            Tensor zero = Torch.zerosLike(context.time());
            try (BlockTape tape = onTape ? BlockTape.open() : null) {
                Tensor score;
                try (Autocast mode = narrow ? Autocast.bfloat16(Device.Type.CUDA) : Autocast.off(Device.Type.CUDA)) {
                    Tensor draws = map.flowMap(zero, zero.add(1), leaf.detach(), context);
                    score = draws.square().sum();
                }
                if (tape == null) {
                    Autograd.gradients(score, List.of(leaf));
                } else {
                    tape.gradient(score, leaf);
                }
            }
        }
    }

    /**
     * Estimators differentiate draws on a tape: fewer launches than in libtorch's graph, which stores no operands of
     * frozen weights either.
     */
    @Test
    void aTapeOfFrozenBlocksLaunchesLess() {
        TransformerConfig config = SmallNetworks.transformerConfig(32, 2, 4, 768, 12, 12, 1000);
        try (FlowMapTransformer map = FlowMapTransformer.zeros(config, GPU.available());
                MetaFlowMap frozen = map.frozen()) {
            frozen.parameters().narrow();
            for (boolean narrow : new boolean[] {false, true}) {
                PretendCuda.Counters[] work = new PretendCuda.Counters[2];
                double[] draws = new double[2];
                for (int i = 0; i < 2; i++) {
                    Price.of(frozen, 8, narrow, i == 1);
                    Price few = Price.of(frozen, 8, narrow, i == 1);
                    Price many = Price.of(frozen, 32, narrow, i == 1);
                    draws[i] = (many.peak - few.peak) / 24;
                    work[i] = many.work;
                }
                String what = String.format(
                        Locale.ROOT,
                        "a draw of B/2 in %s: %d kernels, %d products, %.3f GiB in a graph; %d, %d, %.3f on a tape",
                        narrow ? "bfloat16" : "float32",
                        work[0].launches(),
                        work[0].products(),
                        draws[0],
                        work[1].launches(),
                        work[1].products(),
                        draws[1]);
                System.out.println(what);
                assertTrue(work[1].submitted() < work[0].submitted(), what);
                assertTrue(draws[1] > 0 && draws[1] < (narrow ? 0.9 : 1.2) * draws[0], what);
            }
        }
    }
}
