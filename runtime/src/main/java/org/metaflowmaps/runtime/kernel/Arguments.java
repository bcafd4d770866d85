package org.metaflowmaps.runtime.kernel;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Tensor;

/** The arguments of one launch, in the order of the kernel's parameters. */
final class Arguments implements AutoCloseable {
    private static final int MOST = 32;

    @SuppressWarnings("MustBeClosedChecker") // closed by close()
    private final Arena arena = Arena.ofConfined();

    private final MemorySegment array = arena.allocate(ADDRESS, MOST);
    private int count;

    /** Adds the address of a tensor's memory; null for none. */
    Arguments tensor(@Nullable Tensor tensor) {
        return int64(tensor == null ? 0 : Operand.address(tensor));
    }

    /** Adds an {@code int}. */
    Arguments int32(long value) {
        return add(arena.allocateFrom(JAVA_INT, Math.toIntExact(value)));
    }

    /** Adds a {@code long long}. */
    Arguments int64(long value) {
        return add(arena.allocateFrom(JAVA_LONG, value));
    }

    /** Adds a {@code float}. */
    Arguments float32(double value) {
        return add(arena.allocateFrom(JAVA_FLOAT, (float) value));
    }

    /** Adds a {@code double}. */
    Arguments float64(double value) {
        return add(arena.allocateFrom(JAVA_DOUBLE, value));
    }

    /** Adds a structure of 8-byte integers and addresses. */
    Arguments struct(long... fields) {
        return add(arena.allocateFrom(JAVA_LONG, fields));
    }

    /** Adds a structure of floats. */
    Arguments floats(double... fields) {
        MemorySegment struct = arena.allocate(JAVA_FLOAT, fields.length);
        for (int i = 0; i < fields.length; i++) {
            struct.setAtIndex(JAVA_FLOAT, i, (float) fields[i]);
        }
        return add(struct);
    }

    /** Returns the addresses of the values, for {@code cuLaunchKernel}; valid until this object closes. */
    MemorySegment array() {
        return array;
    }

    private Arguments add(MemorySegment value) {
        array.setAtIndex(ADDRESS, count++, value);
        return this;
    }

    @Override
    public void close() {
        arena.close();
    }
}
