package org.metaflowmaps.runtime;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.bindings.Nvtx;

/**
 * A named range of a thread's time: in Nsight Systems as an NVTX range of the domain {@code MetaFlowMaps}, in JDK Flight Recorder as
 * an event {@code org.metaflowmaps.Range}. Costs a few nanoseconds while neither records.
 *
 * <p>Ranges measure the host. On a GPU the work of a range runs later; Nsight Systems shows it in the row of the GPU's ranges.
 */
public final class ProfilerRange implements AutoCloseable {
    private static final ProfilerRange IDLE = new ProfilerRange(false, null);
    private static final long NO_NUMBER = -1;
    private static final boolean LAYERS = Boolean.getBoolean("org.metaflowmaps.profile.layers");

    /** Shows whether a recording wants events, without making one. */
    private static final RangeEvent PROBE = new RangeEvent();

    private static volatile boolean paused;

    private final boolean pushed;
    private final @Nullable RangeEvent event;

    private ProfilerRange(boolean pushed, @Nullable RangeEvent event) {
        this.pushed = pushed;
        this.event = event;
    }

    /**
     * Begins a range inside the thread's open ones.
     *
     * @param name what the thread does, such as {@code backward}; use few, fixed names
     * @return the range; close it on the same thread, inner ranges first
     */
    public static ProfilerRange open(String name) {
        return open(name, NO_NUMBER);
    }

    /**
     * As {@link #open(String)}, with a number.
     *
     * @param number of the step, 0 or more
     */
    public static ProfilerRange open(String name, long number) {
        boolean pushes = Nvtx.isActive();
        boolean records = PROBE.isEnabled();
        if ((!pushes && !records) || paused) {
            return IDLE;
        }
        if (pushes) {
            if (number == NO_NUMBER) {
                Nvtx.push(name);
            } else {
                Nvtx.push(name, number);
            }
        }
        if (!records) {
            return new ProfilerRange(true, null);
        }
        RangeEvent event = new RangeEvent();
        event.phase = name;
        event.number = number;
        event.begin();
        return new ProfilerRange(pushes, event);
    }

    /**
     * As {@link #open(String, long)}, for parts of a network: only if the system property
     * {@code org.metaflowmaps.profile.layers} is {@code true}, because there are hundreds in a step.
     */
    public static ProfilerRange layer(String name, long number) {
        return LAYERS ? open(name, number) : IDLE;
    }

    /** Ranges that begin while this is true are left out. */
    static void pause(boolean on) {
        paused = on;
    }

    @Override
    public void close() {
        if (event != null) {
            event.commit();
        }
        if (pushed) {
            Nvtx.pop();
        }
    }
}
