package org.metaflowmaps.cli.option;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.CapturedSampler;
import org.metaflowmaps.models.sampler.Sampler;
import picocli.CommandLine.Option;

/** {@code --graphs}, for the commands that draw samples. */
public final class GraphsOption {
    /** Graphs of a sampler: batches of two sizes, since the last one may be smaller, and single samples. */
    private static final int MOST = 3;

    @Option(
            names = "--graphs",
            description = "Capture repeated steps as CUDA graphs, which saves the host's time for launches; where CUDA"
                    + " refuses, steps run without, and the reason is printed once. Changes nothing on the CPU. Off by"
                    + " default, because no GPU has run it yet.")
    private boolean graphs;

    /** Returns true if graphs are wanted. */
    public boolean isOn() {
        return graphs;
    }

    /** Captures a sampler; null if graphs are not wanted. The caller closes the result before the map. */
    public @Nullable CapturedSampler<Condition> of(Sampler<Condition> sampler, MetaFlowMap map) {
        return graphs ? CapturedSampler.of(sampler, map, MOST) : null;
    }

    /** Captures a sampler of posteriors: see {@link #of}. */
    public @Nullable CapturedSampler<Context> ofPosteriors(Sampler<Context> sampler, MetaFlowMap map) {
        return graphs ? CapturedSampler.ofPosteriors(sampler, map, MOST) : null;
    }
}
