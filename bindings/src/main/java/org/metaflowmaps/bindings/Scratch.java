package org.metaflowmaps.bindings;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Memory per thread for a C function's output and one value that it reads, so that small calls allocate nothing. */
final class Scratch {
    private static final ThreadLocal<MemorySegment> SLOT =
            ThreadLocal.withInitial(() -> Arena.ofAuto().allocate(16, 8));

    private Scratch() {}

    /** Returns eight bytes for the output, and eight for {@link #argument}. */
    static MemorySegment slot() {
        return SLOT.get();
    }

    /** Returns the second half of a slot, with a value for the C function to read. */
    static MemorySegment argument(MemorySegment slot, long value) {
        MemorySegment argument = slot.asSlice(8);
        argument.set(ValueLayout.JAVA_LONG, 0, value);
        return argument;
    }
}
