package org.metaflowmaps.models.layer;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;

/** Embeds a guidance scale as the table's row of the nearest scale. */
public final class GuidanceEmbedding {
    private final Tensor table;
    private final long lowestRow;
    private final List<Step> steps = new ArrayList<>();

    /** The scale from which on a row is used. */
    private record Step(double midpoint, long row) {}

    /**
     * A layer over {@code embedding_table.weight}.
     *
     * @param allowed the scales of the first rows, at least one
     * @param weights the layer's own
     */
    public GuidanceEmbedding(List<Double> allowed, Weights weights) {
        this.table = weights.get("embedding_table.weight");
        List<Double> ascending = new ArrayList<>(allowed);
        ascending.sort(null);
        this.lowestRow = allowed.indexOf(ascending.getFirst());
        for (int i = 1; i < ascending.size(); i++) {
            steps.add(new Step((ascending.get(i - 1) + ascending.get(i)) / 2, allowed.indexOf(ascending.get(i))));
        }
    }

    /**
     * Rows (B, D), at least float32.
     *
     * @param scale (B); empty for 1, whose row is the first
     * @param batch B
     */
    public Dual forward(Optional<Tensor> scale, long batch) {
        if (scale.isEmpty() || steps.isEmpty()) {
            return Dual.constant(Embeddings.wide(table.narrow(0, 0, 1).expand(batch, -1)));
        }
        // Choose rows on the device without reading scales back: a scale above a midpoint moves to the next row.
        Tensor row = Torch.full((double) lowestRow, DType.INT64, table.device(), batch);
        for (Step step : steps) {
            row = Torch.where(
                    scale.get().gt(step.midpoint),
                    Torch.full((double) step.row, DType.INT64, table.device(), batch),
                    row);
        }
        return Dual.constant(Embeddings.wide(Torch.embedding(table, row)));
    }
}
