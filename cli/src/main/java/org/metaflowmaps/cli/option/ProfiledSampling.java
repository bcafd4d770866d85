package org.metaflowmaps.cli.option;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.runtime.ProfilerWindow;

/** Limits profiling to some steps of a sampler, counted over all its batches. */
public final class ProfiledSampling implements AutoCloseable {
    private final ProfileOption.@Nullable Steps steps;
    private final @Nullable ProfilerWindow window;
    private long taken;

    ProfiledSampling(ProfileOption.@Nullable Steps steps) {
        this.steps = steps;
        this.window = steps == null ? null : new ProfilerWindow();
    }

    /** Returns a listener that also begins and ends the window; the given one if all steps are profiled. */
    public SamplingListener with(SamplingListener other) {
        return steps == null || window == null ? other : new Listener(steps, window, other);
    }

    private final class Listener implements SamplingListener {
        private final ProfileOption.Steps steps;
        private final ProfilerWindow window;
        private final SamplingListener other;

        Listener(ProfileOption.Steps steps, ProfilerWindow window, SamplingListener other) {
            this.steps = steps;
            this.window = window;
            this.other = other;
        }

        /** Samplers ask this before each step. */
        @Override
        public boolean isCancelled() {
            if (taken + 1 >= steps.first() && taken + 1 <= steps.last()) {
                window.begin();
            }
            return other.isCancelled();
        }

        @Override
        public void stepDone(int done, int all) {
            taken++;
            if (taken == steps.last()) {
                window.end();
            }
            other.stepDone(done, all);
        }
    }

    @Override
    public void close() {
        if (window != null) {
            window.close();
        }
    }
}
