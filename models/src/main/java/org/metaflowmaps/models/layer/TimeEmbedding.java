package org.metaflowmaps.models.layer;

import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;

/** A time (B), fed as it is in [0, 1], as a vector (B, D): sinusoids, then two linear layers. */
public final class TimeEmbedding {
    private final Dual frequencies;
    private final DType type;
    private final Linear first;
    private final Linear second;

    /**
     * A layer over {@code mlp.0} and {@code mlp.2}.
     *
     * @param frequencies of {@link Embeddings#frequencies}, not owned
     * @param weights the layer's own
     */
    public TimeEmbedding(Tensor frequencies, Weights weights) {
        this.frequencies = Dual.constant(frequencies);
        DType given = weights.arena().values().dtype();
        this.type = given == DType.BFLOAT16 ? DType.FLOAT32 : given;
        this.first = weights.linear("mlp.0");
        this.second = weights.linear("mlp.2");
    }

    /** Times (B) as vectors (B, D). */
    public Dual forward(Dual time) {
        // In float32 also for a float64 network: the public checkpoints were trained with sinusoids rounded like that.
        // In bfloat16 times
        // near each other would be one time.
        Dual phase = time.to(DType.FLOAT32).unsqueeze(1).mul(frequencies);
        Dual sinusoids = Dual.cat(1, phase.cos(), phase.sin()).to(type);
        return second.exact(first.exact(sinusoids).silu());
    }
}
