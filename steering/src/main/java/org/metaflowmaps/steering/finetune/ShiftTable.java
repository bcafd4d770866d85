package org.metaflowmaps.steering.finetune;

import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.checkpoint.Saved;

/**
 * The shifts k of the weights e^{λr-k}: a running log-mean-exp of λr for each class, for items without a label, and for
 * all items.
 *
 * <p>A step uses the shifts from earlier steps, because an item's own reward in its k would change the regression's
 * optimum. A class without items so far has the shift of all items; this shift is 0 at first. All values are on the
 * device in float64.
 */
final class ShiftTable implements AutoCloseable {
    private final int classes;
    private final double keptPerItem;
    private final Device device;

    /**
     * Log-mean-exp of λr for the λ in {@link #strength}: one row per class, one for items without a label, one for all
     * items.
     */
    private final Tensor logMeans;

    /** The weight of each of these means, in items. */
    private final Tensor weights;

    private final Tensor strength;

    /** Log-sum-exp and number of the items since the last {@link #commit}. */
    private final Tensor newLogSums;

    private final Tensor newCounts;
    private final Tensor newStrength;

    /**
     * Makes an empty table.
     *
     * @param classes the number of classes, which is also the label that means "no label"
     * @param window items of a class after which an item's weight has decayed to 1/e
     */
    ShiftTable(int classes, long window, Device device) {
        this.classes = classes;
        this.keptPerItem = -1.0 / window;
        this.device = device;
        try (TensorScope scope = TensorScope.open()) {
            logMeans = Torch.zeros(DType.FLOAT64, device, rows()).retain();
            weights = Torch.zeros(DType.FLOAT64, device, rows()).retain();
            strength = Torch.zeros(DType.FLOAT64, device, 1).retain();
            newLogSums = Torch.full(Double.NEGATIVE_INFINITY, DType.FLOAT64, device, rows())
                    .retain();
            newCounts = Torch.zeros(DType.FLOAT64, device, rows()).retain();
            newStrength = Torch.zeros(DType.FLOAT64, device, 1).retain();
        }
    }

    private long rows() {
        return classes + 2L;
    }

    /** Returns the means for this strength: scales those of another one, because k/λ depends far less on λ than k. */
    private Tensor means(Tensor strengthNow) {
        Tensor one = Torch.onesLike(strength);
        Tensor ratio = Torch.where(strength.eq(0), one, strengthNow.div(Torch.where(strength.eq(0), one, strength)));
        return logMeans.mul(ratio);
    }

    /**
     * Returns the shift of each item.
     *
     * @param labels (B) int64; null if no item has one
     * @param batch B
     * @param strengthNow λ: (1) float64
     * @return k: (B) float64, in the innermost open scope
     */
    Tensor at(@Nullable Tensor labels, long batch, Tensor strengthNow) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor means = means(strengthNow);
            Tensor all = means.narrow(0, classes + 1L, 1).expand(rows());
            return scope.keep(Torch.where(weights.gt(0), means, all).indexSelect(0, rows(labels, batch)));
        }
    }

    /** Returns the shift of all items together: (1) float64, in the innermost open scope. */
    Tensor global(Tensor strengthNow) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            return scope.keep(means(strengthNow).narrow(0, classes + 1L, 1).clone());
        }
    }

    /**
     * Collects items for the next {@link #commit}. Leaves out scores that are NaN or positive infinity, because their
     * step is skipped.
     *
     * @param labels (B) int64; null if no item has one
     * @param scores λr: (B)
     * @param strengthNow λ: (1) float64
     */
    void note(@Nullable Tensor labels, Tensor scores, Tensor strengthNow) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            long batch = scores.size(0);
            Tensor column = scores.to(DType.FLOAT64).reshape(batch, 1);
            Tensor legal = column.lt(Double.POSITIVE_INFINITY).to(DType.FLOAT64);
            Tensor own =
                    Torch.arange(classes + 1L, device).eq(rows(labels, batch).reshape(batch, 1));
            Tensor mine =
                    Torch.cat(1, own.to(DType.FLOAT64), Torch.onesLike(legal)).mul(legal);
            Tensor kept = column.expand(batch, rows()).maskedFill(mine.eq(0), Double.NEGATIVE_INFINITY);
            newLogSums.copy_(logAddExp(newLogSums, kept.logsumexp(0)));
            newCounts.add_(mine.sum(0));
            newStrength.copy_(strengthNow);
        }
    }

    /** Adds the collected items to the means. */
    void commit() {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor means = means(newStrength);
            Tensor kept = weights.mul(newCounts.mul(keptPerItem).exp());
            Tensor total = kept.add(newCounts);
            Tensor mean = logAddExp(means.add(kept.log()), newLogSums).sub(total.log());
            // A mean of minus infinity would make the next weights infinite, so leave such a class unchanged.
            Tensor changed = newCounts
                    .gt(0)
                    .to(DType.FLOAT64)
                    .mul(mean.gt(Double.NEGATIVE_INFINITY).to(DType.FLOAT64));
            // Without any item, keep the strength too.
            Tensor any = changed.narrow(0, classes + 1L, 1).gt(0);
            logMeans.copy_(Torch.where(changed.gt(0), mean, Torch.where(any.expand(rows()), means, logMeans)));
            weights.copy_(Torch.where(changed.gt(0), total, weights));
            strength.copy_(Torch.where(any, newStrength, strength));
            forgetNoted();
        }
    }

    /** Drops the items collected since the last {@link #commit}. */
    void forgetNoted() {
        newLogSums.fill_(Double.NEGATIVE_INFINITY);
        newCounts.zero_();
    }

    private static Tensor logAddExp(Tensor one, Tensor other) {
        return Torch.stack(0, one, other).logsumexp(0);
    }

    private Tensor rows(@Nullable Tensor labels, long batch) {
        return labels == null ? Torch.full(classes, DType.INT64, device, batch) : labels;
    }

    /** Returns the state for a checkpoint. */
    Saved saved() {
        Map<String, Tensor> buffers = new LinkedHashMap<>();
        buffers.put("log_means", logMeans);
        buffers.put("weights", weights);
        buffers.put("strength", strength);
        return new Saved(buffers, Map.of());
    }

    @Override
    public void close() {
        logMeans.close();
        weights.close();
        strength.close();
        newLogSums.close();
        newCounts.close();
        newStrength.close();
    }
}
