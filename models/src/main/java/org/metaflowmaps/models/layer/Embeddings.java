package org.metaflowmaps.models.layer;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** How times, images, positions, labels and guidance scales become vectors. */
public final class Embeddings {
    /** Sinusoids of a time embedding: this many cosines and as many sines. */
    private static final int FREQUENCIES = 128;

    private static final double LONGEST_PERIOD = 10_000;

    private Embeddings() {}

    /** The frequencies of a time embedding: (1, 128), float32, owned by the caller. */
    public static Tensor frequencies(Device device) {
        float[] values = new float[FREQUENCIES];
        for (int i = 0; i < FREQUENCIES; i++) {
            values[i] = (float) Math.exp(-Math.log(LONGEST_PERIOD) * i / FREQUENCIES);
        }
        try (TensorScope scope = TensorScope.open()) {
            return Torch.of(values, 1, FREQUENCIES).to(device).retain();
        }
    }

    /** A time (B), fed as it is in [0, 1], as a vector (B, D): sinusoids, then two linear layers. */
    public static Dual time(Dual time, Tensor frequencies, Weights weights) {
        // In float32 also for a float64 network: the public checkpoints were trained with sinusoids rounded like that.
        Dual phase = time.to(DType.FLOAT32).unsqueeze(1).mul(Dual.constant(frequencies));
        Dual sinusoids = Dual.cat(1, phase.cos(), phase.sin()).to(weights.dtype());
        return weights.exact(weights.exact(sinusoids, "mlp.0").silu(), "mlp.2");
    }

    /** Images (B, C, H, W) as tokens (B, patches, D): one linear map of each patch, which is what a strided convolution does. */
    public static Dual patches(Dual image, int patch, Weights weights) {
        long[] shape = image.primal().shape();
        long rows = shape[2] / patch;
        long columns = shape[3] / patch;
        Tensor kernel = weights.get("proj.weight");
        Dual cut = image.reshape(shape[0], shape[1], rows, patch, columns, patch)
                .permute(0, 2, 4, 1, 3, 5)
                .reshape(shape[0], rows * columns, shape[1] * patch * patch);
        return Weights.exact(cut, kernel.reshape(kernel.size(0), -1), weights.get("proj.bias"));
    }

    /** Tokens (B, rows · columns, patch · patch · C) as images (B, C, H, W). */
    public static Dual unpatch(Dual tokens, int grid, int patch, int channels) {
        long batch = tokens.primal().size(0);
        return tokens.reshape(batch, grid, grid, patch, patch, channels)
                .permute(0, 5, 1, 3, 2, 4)
                .reshape(batch, channels, (long) grid * patch, (long) grid * patch);
    }

    /** Fixed positions: (1, grid², width). The first half of the width encodes the column, the second half the row. */
    public static float[] positions(int grid, int width) {
        int quarter = width / 4;
        float[] table = new float[grid * grid * width];
        for (int row = 0; row < grid; row++) {
            for (int column = 0; column < grid; column++) {
                int at = (row * grid + column) * width;
                for (int k = 0; k < quarter; k++) {
                    double rate = Math.pow(LONGEST_PERIOD, -(double) k / quarter);
                    table[at + k] = (float) Math.sin(column * rate);
                    table[at + quarter + k] = (float) Math.cos(column * rate);
                    table[at + 2 * quarter + k] = (float) Math.sin(row * rate);
                    table[at + 3 * quarter + k] = (float) Math.cos(row * rate);
                }
            }
        }
        return table;
    }

    /** Rows of the label table (B, D); the last row where there is no label. */
    public static Tensor labels(@Nullable Tensor labels, long batch, int classes, Weights weights) {
        Tensor table = weights.get("embedding_table.weight");
        Tensor index = labels != null ? labels : Torch.full(classes, DType.INT64, table.device(), batch);
        return Torch.embedding(table, index);
    }

    /** Rows of the guidance table (B, D): that of the nearest allowed scale. */
    public static Tensor guidance(@Nullable Tensor scale, long batch, List<Double> allowed, Weights weights) {
        Tensor table = weights.get("embedding_table.weight");
        if (scale == null || allowed.size() == 1) {
            return table.narrow(0, 0, 1).expand(batch, -1);
        }
        // Without a reading back from the device: each midpoint between neighbours that the scale exceeds moves one row up.
        List<Double> ascending = new ArrayList<>(allowed);
        ascending.sort(null);
        Tensor row = Torch.full(allowed.indexOf(ascending.getFirst()), DType.INT64, table.device(), batch);
        for (int i = 1; i < ascending.size(); i++) {
            double midpoint = (ascending.get(i - 1) + ascending.get(i)) / 2;
            row = Torch.where(scale.gt(midpoint), Torch.full(allowed.indexOf(ascending.get(i)), DType.INT64, table.device(),
                    batch), row);
        }
        return Torch.embedding(table, row);
    }
}
