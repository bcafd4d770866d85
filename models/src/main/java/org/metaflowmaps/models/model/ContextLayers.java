package org.metaflowmaps.models.model;

import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.layer.GuidanceEmbedding;
import org.metaflowmaps.models.layer.Linear;
import org.metaflowmaps.models.layer.PatchEmbedding;
import org.metaflowmaps.models.layer.TimeEmbedding;
import org.metaflowmaps.models.layer.Weights;
import org.metaflowmaps.runtime.Tensor;

/** The additional layers of a meta flow map's transformer: those of its context and of the second stage's times. */
final class ContextLayers {
    private final TimeEmbedding secondStart;
    private final TimeEmbedding secondEnd;
    private final TimeEmbedding time;
    private final GuidanceEmbedding guidance;
    private final PatchEmbedding patches;
    private final Linear modulation;
    private final boolean offAtZero;

    ContextLayers(TransformerConfig config, Tensor frequencies, Weights weights) {
        this.secondStart = new TimeEmbedding(frequencies, weights.in("s_embedder_second"));
        this.secondEnd = new TimeEmbedding(frequencies, weights.in("t_embedder_second"));
        this.time = new TimeEmbedding(frequencies, weights.in("t_cond_embedder"));
        this.guidance = new GuidanceEmbedding(config.allowedScales(), weights.in("guidance_embedder"));
        this.patches = new PatchEmbedding(config.patchSize(), weights.in("x_cond_embedder"));
        this.modulation = weights.linear("x_cond_adaLN.1");
        this.offAtZero = config.preserveContextAtZero();
    }

    /** Embeds the context's time as a vector (B, D). */
    Dual time(Context context) {
        return time.forward(Dual.constant(context.time()));
    }

    /** Embeds the guidance scales as vectors (B, D). */
    Dual guidance(Context context, long batch) {
        return guidance.forward(context.condition().guidance(), batch);
    }

    /** Returns the sum of the second stage's two time embeddings: (B, D). */
    Dual secondTimes(Dual start, Dual end) {
        return secondStart.forward(start).add(secondEnd.forward(end));
    }

    /** Returns the context's tokens (B, L, D), scaled and shifted by its time. */
    Dual tokens(Context context, Dual embeddedTime) {
        Dual tokens = patches.forward(context.dualState());
        Dual[] parts = modulation.exact(embeddedTime.silu()).unsqueeze(1).chunk(2, 2);
        Dual shift = parts[0];
        Dual scale = parts[1];
        if (offAtZero) {
            Dual factor = Dual.constant(MetaFlowMap.perItem(context.time(), tokens.primal()));
            shift = shift.mul(factor);
            scale = scale.mul(factor).add(-1);
        }
        return shift.addcmul(tokens, scale.add(1));
    }
}
