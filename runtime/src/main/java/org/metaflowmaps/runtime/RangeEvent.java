package org.metaflowmaps.runtime;

import jdk.jfr.Category;
import jdk.jfr.Description;
import jdk.jfr.Event;
import jdk.jfr.Label;
import jdk.jfr.Name;
import jdk.jfr.StackTrace;
import org.jspecify.annotations.Nullable;

/** A {@link ProfilerRange} in a recording of JDK Flight Recorder. */
@Name(RangeEvent.NAME)
@Label("Range")
@Category("Meta Flow Maps")
@Description("A phase of a training step or of sampling, on the host; a GPU may compute later")
@StackTrace(false)
final class RangeEvent extends Event {
    static final String NAME = "org.metaflowmaps.Range";

    @Label("Phase")
    @Nullable
    String phase;

    @Label("Number")
    @Description("The number of the step or layer; -1 for a range without number")
    long number;
}
