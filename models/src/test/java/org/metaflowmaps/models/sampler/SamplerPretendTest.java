package org.metaflowmaps.models.sampler;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.BiFunction;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.drift.Glass;
import org.metaflowmaps.models.drift.GuidedDrift;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.cuda.StepGraph;
import org.metaflowmaps.runtime.pretend.Pretend;
import org.metaflowmaps.runtime.pretend.PretendCuda;

/** Every sampler on a GPU: its waits for the device, and its capture as one graph. */
@Pretend
final class SamplerPretendTest {
    private static final Device GPU = Device.cuda(0);
    private static final int STEPS = 4;

    /** A sampler over given noise, labels and, for posteriors, a noisy state. */
    private interface Case extends BiFunction<List<Tensor>, Condition, Tensor> {}

    /** The samplers that need values from the caller that are valid, so that nothing is read. */
    private static Map<String, Case> all(MetaFlowMap map) {
        NetworkDrift drift = new NetworkDrift(map, false);
        Map<String, Case> cases = new LinkedHashMap<>();
        cases.put("flow map", (noise, labels) -> samples(new FlowMapSampler(map, STEPS).sample(given(noise), labels)));
        cases.put(
                "posterior",
                (noise, labels) -> samples(new PosteriorSampler(map, STEPS)
                        .sample(Noise.of(noise.get(1)), context(noise.get(0), labels))));
        cases.put(
                "refinement",
                (noise, labels) -> samples(new RefinementSampler(map, STEPS).sample(given(noise), labels)));
        for (Solver solver : Solver.values()) {
            cases.put(
                    "ODE, " + solver.name().toLowerCase(Locale.ROOT),
                    (noise, labels) -> samples(
                            new OdeSampler(drift, TimeGrid.uniform(STEPS), solver).sample(given(noise), labels)));
        }
        cases.put(
                "guided ODE",
                (noise, labels) -> samples(new OdeSampler(new GuidedDrift(drift, map.classes(), 0), STEPS)
                        .sample(given(noise), labels.guided(2, map.classes()))));
        cases.put(
                "GLASS",
                (noise, labels) -> samples(new GlassSampler(new Glass(drift), STEPS)
                        .sample(Noise.of(noise.get(1)), context(noise.get(0), labels))));
        return cases;
    }

    private static Noise given(List<Tensor> noise) {
        return Noise.of(noise.toArray(new Tensor[0]));
    }

    private static Tensor samples(SampleResult result) {
        return result.samples();
    }

    private static Context context(Tensor state, Condition labels) {
        return Context.unchecked(Torch.full(0.5, state.dtype(), state.device(), state.size(0)), state, labels);
    }

    private static List<Tensor> inputs(MetaFlowMap map, RandomSource random, long batch) {
        List<Tensor> inputs = new ArrayList<>();
        inputs.add(Torch.zeros(DType.INT64, GPU, batch));
        for (int i = 0; i < 1 + 2 * STEPS; i++) {
            inputs.add(random.normal(map.itemShape().prepend(batch)));
        }
        return inputs;
    }

    private static List<Tensor> run(Case sampler, List<Tensor> inputs) {
        return List.of(sampler.apply(inputs.subList(1, inputs.size()), Condition.labelled(inputs.get(0))));
    }

    /** A call reads at most the checks of its inputs, however many steps it takes; none of it is on the legacy stream. */
    @Test
    void onlyInputsAreRead() {
        try (TensorScope scope = TensorScope.open();
                FlowMapTransformer map = FlowMapTransformer.zeros(SmallNetworks.config(), GPU);
                RandomSource random = RandomSource.seeded(1, GPU);
                Autograd.Mode off = Autograd.noGrad()) {
            List<Tensor> inputs = inputs(map, random, 3);
            Map<String, Long> waits = new LinkedHashMap<>();
            all(map).forEach((name, sampler) -> {
                run(sampler, inputs);
                PretendCuda.Counters counted = PretendCuda.count(() -> run(sampler, inputs));
                assertEquals(0, counted.legacyWork(), name);
                waits.put(name, counted.copiesToHost());
                assertEquals(counted.copiesToHost(), counted.synchronisations(), name);
            });
            Map<String, Long> expected = new LinkedHashMap<>();
            // The time and the labels of the context.
            expected.put("flow map", 2L);
            expected.put("posterior", 0L);
            expected.put("refinement", 2L);
            expected.put("ODE, euler", 0L);
            expected.put("ODE, heun", 0L);
            // The guidance scales.
            expected.put("guided ODE", 1L);
            expected.put("GLASS", 0L);
            assertEquals(expected, waits);
        }
    }

    /** Each sampler becomes one graph, whose replay is one launch. */
    @Test
    void everySamplerIsCaptured() {
        try (TensorScope scope = TensorScope.open();
                FlowMapTransformer map = FlowMapTransformer.zeros(SmallNetworks.config(), GPU);
                RandomSource random = RandomSource.seeded(1, GPU);
                Autograd.Mode off = Autograd.noGrad();
                StepGraph graphs = new StepGraph(GPU, 100)) {
            List<Tensor> inputs = inputs(map, random, 3);
            all(map).forEach((name, sampler) -> {
                for (int i = 0; i < 4; i++) {
                    graphs.run(name, inputs, given -> run(sampler, given));
                }
                assertEquals(Optional.empty(), graphs.refusal(), name);
                PretendCuda.Counters replayed =
                        PretendCuda.count(() -> graphs.run(name, inputs, given -> run(sampler, given)));
                assertEquals(1, replayed.graphLaunches(), name);
                assertEquals(0, replayed.launches(), name);
                assertEquals(0, replayed.hostReads(), name);
            });
            assertEquals(all(map).size(), graphs.captures());
        }
    }

    /** The wrapper draws the noise before, checks labels, and replays; a batch of another size is another graph. */
    @Test
    void aCapturedSamplerReplays() {
        try (TensorScope scope = TensorScope.open();
                FlowMapTransformer map = FlowMapTransformer.zeros(SmallNetworks.config(), GPU);
                RandomSource random = RandomSource.seeded(1, GPU);
                CapturedSampler<Condition> sampler = CapturedSampler.of(new RefinementSampler(map, STEPS), map, 2);
                CapturedSampler<Context> posterior =
                        CapturedSampler.ofPosteriors(new PosteriorSampler(map, STEPS), map, 2)) {
            for (long batch : new long[] {3, 2}) {
                Condition labels = Condition.labelled(Torch.zeros(DType.INT64, GPU, batch));
                Noise noise = Noise.of(random, map, batch);
                for (int i = 0; i < 5; i++) {
                    sampler.sample(noise, labels);
                    posterior.sample(noise, context(noise.next(), labels));
                }
                PretendCuda.Counters replayed = PretendCuda.count(() -> {
                    SampleResult result = sampler.sample(noise, labels);
                    assertEquals(STEPS, result.evaluations());
                    assertEquals(batch, result.samples().size(0));
                });
                assertEquals(1, replayed.graphLaunches());
                assertEquals(0, replayed.products());
                // The check of the labels.
                assertEquals(1, replayed.copiesToHost());
                Context context = context(noise.next(), labels);
                assertEquals(
                        0,
                        PretendCuda.count(() -> posterior.sample(noise, context))
                                .hostReads());
            }
            assertEquals(Optional.empty(), sampler.graphs().refusal());
            assertEquals(2, sampler.graphs().captures());
            assertEquals(2, posterior.graphs().captures());
        }
    }

    /** A frozen map casts its weights in each evaluation, unless it has a bfloat16 copy of them. */
    @Test
    void aCopyReplacesTheCastsOfWeights() {
        try (TensorScope scope = TensorScope.open();
                FlowMapTransformer original = FlowMapTransformer.zeros(SmallNetworks.config(), GPU);
                MetaFlowMap map = original.frozen();
                RandomSource random = RandomSource.seeded(1, GPU);
                Autograd.Mode off = Autograd.noGrad();
                Autocast low = Autocast.bfloat16(Device.Type.CUDA)) {
            List<Tensor> inputs = inputs(map, random, 8).subList(0, 2);
            Case one = (noise, labels) ->
                    samples(new OdeSampler(new NetworkDrift(map, false), 1).sample(given(noise), labels));
            run(one, inputs);
            PretendCuda.Counters cast = PretendCuda.count(() -> run(one, inputs));
            map.parameters().narrow();
            PretendCuda.Counters copied = PretendCuda.count(() -> run(one, inputs));
            // Weights and biases of four layers in each block.
            assertEquals(cast.launches() - 8L * original.config().depth(), copied.launches());
            assertEquals(cast.products(), copied.products());
            assertEquals(0, copied.hostReads());
        }
    }

    /** Prints the launches of one evaluation and the host's time, eager and replayed, at the sizes of public networks. */
    @Test
    void replayCostsTheHostLess() {
        for (int[] size : new int[][] {{768, 12, 12}, {1152, 28, 16}}) {
            TransformerConfig config = SmallNetworks.transformerConfig(32, 2, 4, size[0], size[1], size[2], 1000);
            try (TensorScope scope = TensorScope.open();
                    FlowMapTransformer map = FlowMapTransformer.zeros(config, GPU);
                    RandomSource random = RandomSource.seeded(1, GPU);
                    Autograd.Mode off = Autograd.noGrad();
                    Autocast low = Autocast.bfloat16(Device.Type.CUDA);
                    StepGraph graphs = new StepGraph(GPU, 1)) {
                List<Tensor> inputs = inputs(map, random, 8).subList(0, 2);
                Case one = (noise, labels) ->
                        samples(new OdeSampler(new NetworkDrift(map, false), 1).sample(given(noise), labels));
                StepGraph.Step step = given -> run(one, given);
                for (int i = 0; i < 4; i++) {
                    step.run(inputs);
                    graphs.run("one", inputs, step);
                }
                assertEquals(Optional.empty(), graphs.refusal());
                PretendCuda.Counters eager = PretendCuda.count(() -> step.run(inputs));
                double eagerTime = milliseconds(() -> step.run(inputs));
                double replayTime = milliseconds(() -> graphs.run("one", inputs, step));
                System.out.printf(
                        Locale.ROOT,
                        "width %d, depth %d, 8 items: %d kernels, %d products; captured %d; host %.1f ms, replayed"
                                + " %.2f ms%n",
                        size[0],
                        size[1],
                        eager.launches(),
                        eager.products(),
                        graphs.nodes(),
                        eagerTime,
                        replayTime);
                assertTrue(replayTime < eagerTime / 5, eagerTime + " ms, replayed " + replayTime);
            }
        }
    }

    private static double milliseconds(Runnable work) {
        double best = Double.POSITIVE_INFINITY;
        for (int i = 0; i < 10; i++) {
            long begin = System.nanoTime();
            try (TensorScope scope = TensorScope.open()) {
                work.run();
            }
            best = Math.min(best, (System.nanoTime() - begin) / 1e6);
        }
        return best;
    }
}
