package org.metaflowmaps.steering.finetune;

import java.util.LinkedHashMap;
import java.util.Map;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Sums over the items since the last read, on the device, for fine-tuning's metrics. */
final class WeightSums implements AutoCloseable {
    private static final int ITEMS = 0;
    private static final int REWARD = 1;
    private static final int WEIGHT = 2;
    private static final int SQUARE = 3;
    private static final int CLIPPED = 4;
    private static final int SHIFT = 5;
    private static final int DISTANCE = 6;
    private static final int STRENGTH = 7;
    private static final int COUNT = 8;

    private final Tensor sums;

    WeightSums(Device device) {
        try (TensorScope scope = TensorScope.open()) {
            sums = Torch.zeros(DType.FLOAT64, device, COUNT).retain();
        }
    }

    /**
     * Adds a batch.
     *
     * @param rewards r: (B)
     * @param shifts k: (B)
     * @param weights the weights after clipping: (B)
     * @param clipped 1 for each item whose weight was clipped, else 0: (B)
     * @param distances squared distance of student and base per entry: (B)
     * @param strength λ: (1)
     */
    void add(Tensor rewards, Tensor shifts, Tensor weights, Tensor clipped, Tensor distances, Tensor strength) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor weight = weights.to(DType.FLOAT64);
            Tensor items = Torch.onesLike(weight);
            sums.add_(Torch.stack(
                            0,
                            items,
                            rewards.to(DType.FLOAT64),
                            weight,
                            weight.square(),
                            clipped.to(DType.FLOAT64),
                            shifts.to(DType.FLOAT64),
                            distances.to(DType.FLOAT64),
                            items.mul(strength))
                    .sum(1));
        }
    }

    /**
     * Reads the means over the items since the last call, by metric name, and resets them; empty if there were no
     * items.
     */
    Map<String, Double> read() {
        double[] now = sums.toDoubleArray();
        sums.zero_();
        Map<String, Double> values = new LinkedHashMap<>();
        double items = now[ITEMS];
        if (items > 0) {
            values.put("reward", now[REWARD] / items);
            values.put("strength", now[STRENGTH] / items);
            values.put("shift", now[SHIFT] / items);
            values.put("drift_distance", now[DISTANCE] / items);
            values.put("weight/mean", now[WEIGHT] / items);
            values.put("weight/ess", now[WEIGHT] * now[WEIGHT] / (now[SQUARE] * items));
            values.put("weight/clipped", now[CLIPPED] / items);
        }
        return values;
    }

    @Override
    public void close() {
        sums.close();
    }
}
