package org.metaflowmaps.cli.command;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.GuidanceOption;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.FlowMapSampler;
import org.metaflowmaps.models.sampler.Noise;
import org.metaflowmaps.models.sampler.OdeSampler;
import org.metaflowmaps.models.sampler.RefinementSampler;
import org.metaflowmaps.models.sampler.SampleResult;
import org.metaflowmaps.models.sampler.Sampler;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.models.sampler.SamplingMemory;
import org.metaflowmaps.models.sampler.Solver;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * Samples to draw from maps in batches, from the same noise each time.
 *
 * @param count how many
 * @param labels of the samples in turn; the number of classes for none
 * @param scale guidance scale of labelled items; null for 1
 * @param seed of the noise
 * @param device of the maps
 */
@SuppressWarnings("ArrayRecordComponent") // never compared
record MapSamples(int count, long[] labels, @Nullable Double scale, long seed, Device device) {
    /** Receives a batch, which is freed afterwards. */
    @FunctionalInterface
    interface Sink {
        /** Takes samples (B, item shape) and their labels; null for a map without classes. */
        void take(Tensor samples, Condition condition, @Nullable Tensor labels);
    }

    /** Draws, and returns the network evaluations per sample. */
    long draw(MetaFlowMap map, Sampler<Condition> sampler, Sink sink) {
        return draw(map, sampler, SamplingListener.NONE, sink);
    }

    /** Draws with a listener of the steps of all batches. */
    long draw(MetaFlowMap map, Sampler<Condition> sampler, SamplingListener listener, Sink sink) {
        int batch = Math.min(count, SamplingMemory.itemsAtOnce(map));
        long evaluations = 0;
        try (RandomSource random = RandomSource.seeded(seed, device);
                Autograd.Mode off = Autograd.noGrad()) {
            for (int from = 0; from < count; from += batch) {
                try (TensorScope scope = TensorScope.open()) {
                    int size = Math.min(batch, count - from);
                    long[] given = new long[size];
                    int first = from;
                    Arrays.setAll(given, i -> labels[(first + i) % labels.length]);
                    Tensor classes = map.classes() == 0 ? null : Torch.of(given).to(device);
                    Condition condition = GuidanceOption.of(scale, map, classes);
                    SampleResult result = sampler.sample(Noise.of(random, map, size), condition, listener);
                    evaluations = Math.max(evaluations, result.evaluations());
                    sink.take(result.samples(), condition, classes);
                }
            }
        }
        return evaluations;
    }

    /** Returns true if every sample has a label that is a class. */
    boolean areLabelled(MetaFlowMap map) {
        return map.classes() > 0 && Arrays.stream(labels).allMatch(label -> label < map.classes());
    }

    /** Returns a sampler of a kind. */
    static Sampler<Condition> by(SampleCommand.Kind kind, MetaFlowMap map, int steps) {
        return switch (kind) {
            case refinement -> new RefinementSampler(map, steps);
            case flow_map -> new FlowMapSampler(map, steps);
            case ode -> ode(map, steps);
        };
    }

    /** Returns a sampler by Euler steps along the drift. */
    static Sampler<Condition> ode(MetaFlowMap map, int steps) {
        return new OdeSampler(new NetworkDrift(map), TimeGrid.uniform(steps), Solver.EULER);
    }
}
