package org.metaflowmaps.training;

import java.io.IOException;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Several listeners as one. */
final class RunListeners implements RunListener {
    private final List<RunListener> all;

    RunListeners(RunListener... listeners) {
        this.all = List.of(listeners);
    }

    @Override
    public void started(long step, long steps) throws IOException {
        for (RunListener listener : all) {
            listener.started(step, steps);
        }
    }

    @Override
    public boolean reads(long step) {
        return all.stream().anyMatch(listener -> listener.reads(step));
    }

    @Override
    public void stepped(long step, Trainer.@Nullable Report report) throws IOException {
        for (RunListener listener : all) {
            listener.stepped(step, report);
        }
    }

    @Override
    public boolean cancelled() {
        return all.stream().anyMatch(RunListener::cancelled);
    }

    @Override
    public void ended() {
        all.forEach(RunListener::ended);
    }
}
