package org.metaflowmaps.training;

import com.google.common.base.Preconditions;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.ProfilerWindow;

/** Limits profiling of a run to some of its steps: see {@link ProfilerWindow}. */
public final class ProfiledSteps implements RunListener {
    private final long first;
    private final long last;
    private @Nullable ProfilerWindow window;

    /**
     * Makes a listener.
     *
     * @param earliest the first step to profile, from 1; choose one after warm-up, such as 10
     * @param latest the last step to profile
     */
    public ProfiledSteps(long earliest, long latest) {
        Preconditions.checkArgument(
                earliest >= 1 && latest >= earliest,
                "profiled steps: %s to %s, expected a first step of at least 1 and a last one not before it",
                earliest,
                latest);
        this.first = earliest;
        this.last = latest;
    }

    @Override
    public void started(long step, long steps) {
        window = new ProfilerWindow();
        before(step + 1);
    }

    @Override
    public void stepped(long step, Trainer.@Nullable Report report) {
        if (step == last && window != null) {
            window.end();
        }
        before(step + 1);
    }

    private void before(long step) {
        if (step >= first && step <= last && window != null) {
            window.begin();
        }
    }

    @Override
    public void ended() {
        if (window != null) {
            window.close();
        }
    }
}
