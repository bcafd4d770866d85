package org.metaflowmaps.models.layer;

import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Fixed, untrained tables of embeddings, and the conversion of tokens to images. */
public final class Embeddings {
    /** The number of cosines, and of sines, in a time embedding. */
    private static final int FREQUENCIES = 128;

    private static final double LONGEST_PERIOD = 10_000;

    private Embeddings() {}

    /** Returns the frequencies of a time embedding: (1, 128), float32, owned by the caller. */
    public static Tensor frequencies(Device device) {
        float[] values = new float[FREQUENCIES];
        for (int i = 0; i < FREQUENCIES; i++) {
            values[i] = (float) Math.exp(-Math.log(LONGEST_PERIOD) * i / FREQUENCIES);
        }
        try (TensorScope scope = TensorScope.open()) {
            return Torch.of(values, 1, FREQUENCIES).to(device).retain();
        }
    }

    /** Converts tokens (B, rows · columns, patch · patch · C) to images (B, C, H, W). */
    public static Dual unpatch(Dual tokens, int grid, int patch, int channels) {
        long batch = tokens.primal().size(0);
        return tokens.reshape(batch, grid, grid, patch, patch, channels)
                .permute(0, 5, 1, 3, 2, 4)
                .reshape(batch, channels, (long) grid * patch, (long) grid * patch);
    }

    /**
     * Returns fixed positions: (1, grid², width). The first half of the width encodes the column, the second half the
     * row.
     */
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

    /** Converts values of two bytes to float32; returns others unchanged. */
    static Tensor wide(Tensor values) {
        return values.dtype().bytes() == 2 ? values.to(DType.FLOAT32) : values;
    }
}
