package org.metaflowmaps.steering.particle;

import java.util.function.LongSupplier;
import org.metaflowmaps.models.sampler.SamplingListener;

/** A clock for tests, moved by the steps of a run: each takes as many seconds as its number's entry, the last one repeated. */
public final class Clock implements LongSupplier, SamplingListener {
    private final double[] seconds;
    private double now;
    private int steps;

    /** Makes a clock for steps of given lengths. */
    public Clock(double... seconds) {
        this.seconds = seconds;
    }

    @Override
    public long getAsLong() {
        return Math.round(now * 1e9);
    }

    @Override
    public void stepDone(int done, int all) {
        now += seconds[Math.min(steps++, seconds.length - 1)];
    }

    /** Returns the time since the beginning. */
    public double now() {
        return now;
    }
}
