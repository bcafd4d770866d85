package org.metaflowmaps.steering.particle;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.steering.value.KeyedNoise;

/** Noise and listeners to search with. */
final class SearchNoise {
    private SearchNoise() {}

    /** Noise of given items, float32. */
    static KeyedNoise of(Shape item, int particles, long... items) {
        return new KeyedNoise(3, items, particles, item, DType.FLOAT32, Device.CPU);
    }

    /** The same in float64 for two-dimensional states. */
    static KeyedNoise plane(int particles, int items) {
        long[] all = new long[items];
        Arrays.setAll(all, i -> i);
        return new KeyedNoise(3, all, particles, Shape.of(2), DType.FLOAT64, Device.CPU);
    }

    /** Notes its calls and cancels after some of them. */
    static final class Heard implements SamplingListener {
        final List<String> calls = new ArrayList<>();
        private final int most;

        Heard(int most) {
            this.most = most;
        }

        @Override
        public void stepDone(int done, int steps) {
            calls.add(done + "/" + steps);
        }

        @Override
        public boolean isCancelled() {
            return calls.size() >= most;
        }
    }
}
