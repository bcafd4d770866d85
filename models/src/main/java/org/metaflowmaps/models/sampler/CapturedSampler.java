package org.metaflowmaps.models.sampler;

import com.google.common.base.Preconditions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.function.BiFunction;
import java.util.function.UnaryOperator;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.InputValues;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.cuda.StepGraph;

/**
 * Runs all steps of a sampler as one CUDA graph, after a few runs for each batch size: for many batches of small networks,
 * whose launches take longer than their computation. On the CPU, or if CUDA refuses, the sampler runs as it is. Samples
 * are the same, without a gradient graph.
 *
 * <p>A run is one step to the listener.
 *
 * <p>Thread safety: one thread at a time, the one that made it. Close it before the map.
 *
 * @param <G> what samples are conditioned on
 */
public final class CapturedSampler<G> implements Sampler<G>, AutoCloseable {
    private final Sampler<G> sampler;
    private final BiFunction<G, UnaryOperator<Tensor>, G> change;
    private final MetaFlowMap map;
    private final StepGraph graphs;
    /** The noises that a run takes, and its evaluations; -1 before the first run. */
    private int noises = -1;

    private long evaluations;

    private CapturedSampler(
            Sampler<G> sampler, BiFunction<G, UnaryOperator<Tensor>, G> change, MetaFlowMap map, int most) {
        this.sampler = Preconditions.checkNotNull(sampler, "captured sampler: the sampler is null");
        this.change = change;
        this.map = map;
        this.graphs = new StepGraph(map.parameters().values().device(), most);
    }

    /**
     * Captures a sampler of the data.
     *
     * @param sampler takes as many noises in every run, draws no others, and reads nothing but its inputs back; not owned
     * @param map that it evaluates, not owned
     * @param most graphs kept, one for each batch size, at least 1
     */
    public static CapturedSampler<Condition> of(Sampler<Condition> sampler, MetaFlowMap map, int most) {
        return new CapturedSampler<>(sampler, Condition::map, map, most);
    }

    /** Captures a sampler of posteriors: see {@link #of}. */
    public static CapturedSampler<Context> ofPosteriors(Sampler<Context> sampler, MetaFlowMap map, int most) {
        return new CapturedSampler<>(sampler, Context::map, map, most);
    }

    @Override
    public SampleResult sample(Noise noise, G given, SamplingListener listener) {
        long begin = System.nanoTime();
        if (listener.isCancelled()) {
            throw new CancellationException("sampling was cancelled before its first step");
        }
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            check(given);
            if (noises < 0) {
                SampleResult first = counted(noise, given, listener);
                listener.stepDone(1, 1);
                scope.keep(first.samples());
                return first;
            }
            List<Tensor> inputs = new ArrayList<>();
            for (int i = 0; i < noises; i++) {
                inputs.add(noise.next());
            }
            G _ = change.apply(given, tensor -> {
                inputs.add(tensor);
                return tensor;
            });
            Tensor samples = graphs.run(Autocast.isOn(Device.Type.CUDA), inputs, own -> List.of(run(own, given)))
                    .getFirst();
            listener.stepDone(1, 1);
            return new SampleResult(scope.keep(samples), evaluations, Duration.ofNanos(System.nanoTime() - begin));
        }
    }

    /** Runs the sampler as it is, and counts its noises. */
    private SampleResult counted(Noise noise, G given, SamplingListener listener) {
        int[] taken = {0};
        SampleResult result = sampler.sample(
                () -> {
                    taken[0]++;
                    return noise.next();
                },
                given,
                new SamplingListener() {
                    @Override
                    public boolean isCancelled() {
                        return listener.isCancelled();
                    }
                });
        noises = taken[0];
        evaluations = result.evaluations();
        return result;
    }

    /** Checks values here, because a captured run cannot read them. */
    private void check(G given) {
        if (given instanceof Context context) {
            context.checkedFor(map);
        } else if (given instanceof Condition condition) {
            condition.labels().ifPresent(labels -> InputValues.requireLabels(labels, map.classes()));
            condition.guidance().ifPresent(scales -> InputValues.requireFinite("guidance", scales));
        }
    }

    private Tensor run(List<Tensor> inputs, G given) {
        Noise noise = Noise.of(inputs.subList(0, noises).toArray(new Tensor[0]));
        Iterator<Tensor> rest = inputs.subList(noises, inputs.size()).iterator();
        return sampler.sample(noise, change.apply(given, tensor -> rest.next())).samples();
    }

    /** Returns the graphs, owned by this object, to see whether a capture was refused. */
    public StepGraph graphs() {
        return graphs;
    }

    /** Frees the graphs; the sampler and the map stay the caller's. */
    @Override
    public void close() {
        graphs.close();
    }
}
