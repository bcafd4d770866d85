package org.metaflowmaps.bindings;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Eight bytes per thread for the output of a C function, so that small calls allocate nothing. */
final class Scratch {
    private static final ThreadLocal<MemorySegment> SLOT =
            ThreadLocal.withInitial(() -> Arena.ofAuto().allocate(8, 8));

    private Scratch() {}

    static MemorySegment slot() {
        return SLOT.get();
    }
}
