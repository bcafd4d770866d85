package org.metaflowmaps.models.layer;

import java.util.Optional;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/** Embeds labels as rows of a table (classes + 1, D); the last row means "no label". */
public final class LabelEmbedding {
    private final Tensor table;
    private final int classes;

    /**
     * A layer over {@code embedding_table.weight}.
     *
     * @param classes the number of classes
     * @param weights the layer's own
     */
    public LabelEmbedding(int classes, Weights weights) {
        this.table = weights.get("embedding_table.weight");
        this.classes = classes;
    }

    /**
     * Rows (B, D), at least float32.
     *
     * @param labels (B) int64; empty for no labels
     * @param batch B
     */
    public Dual forward(Optional<Tensor> labels, long batch) {
        Tensor index = labels.isPresent() ? labels.get() : Torch.full(classes, DType.INT64, table.device(), batch);
        return Dual.constant(Embeddings.wide(Torch.embedding(table, index)));
    }
}
