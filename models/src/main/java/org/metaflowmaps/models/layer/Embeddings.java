package org.metaflowmaps.models.layer;

import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** The fixed numbers of embeddings, which are not trained, and tokens back to images. */
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

    /** Values of two bytes as float32, others as they are. */
    static Tensor wide(Tensor values) {
        return values.dtype().bytes() == 2 ? values.to(DType.FLOAT32) : values;
    }
}
