package org.metaflowmaps.models.layer;

import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Embeds a time τ as cos(kπτ)/k and sin(kπτ)/k for k from 1; dividing by k bounds the derivatives along time. */
public final class TimeSeries implements AutoCloseable {
    private static final int HARMONICS = 8;

    /** Numbers per time. */
    public static final int TERMS = 2 * HARMONICS;

    private final Tensor frequencies;
    private final Tensor amplitudes;

    /** Makes a series on a device; the caller closes it. */
    public TimeSeries(Device device) {
        float[] rates = new float[HARMONICS];
        float[] sizes = new float[TERMS];
        for (int i = 0; i < HARMONICS; i++) {
            rates[i] = (float) (Math.PI * (i + 1));
            sizes[i] = 1f / (i + 1);
            sizes[HARMONICS + i] = sizes[i];
        }
        try (TensorScope scope = TensorScope.open()) {
            this.frequencies = Torch.of(rates, 1, HARMONICS).to(device).retain();
            this.amplitudes = Torch.of(sizes, 1, TERMS).to(device).retain();
        }
    }

    /** Embeds a time (B) as (B, TERMS). */
    public Dual of(Dual time) {
        Dual phase = time.unsqueeze(1).mul(Dual.constant(frequencies));
        return Dual.cat(1, phase.cos(), phase.sin()).mul(Dual.constant(amplitudes));
    }

    @Override
    public void close() {
        frequencies.close();
        amplitudes.close();
    }
}
