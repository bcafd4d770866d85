package org.metaflowmaps.runtime;

import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.DeviceType;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Mixed precision as under {@code torch.autocast}: while it is open, libtorch computes matrix products, linear layers
 * and fused attention on float32 operands in bfloat16, on one kind of device and for one thread. Weights stay float32,
 * and so do their gradients; each weight's bfloat16 copy is made once and shared until the thread's outermost autocast
 * closes. In {@link Autograd#inference} the copy is made for each use and freed after it. Do not change weights while
 * an autocast is open, because the copies would keep the old values. Float64 operands stay float64.
 *
 * <p>Run the backward pass outside the autocast: it uses the types of its forward pass anyway.
 *
 * <p>Close on the same thread, inner ones first; closing restores the state from before.
 */
public final class Autocast implements AutoCloseable {
    private final DeviceType type;
    private final boolean before;
    private final ScalarType dtypeBefore;
    private final boolean counted;
    private final Thread thread = Thread.currentThread();
    private boolean closed;

    private Autocast(Device.Type on, boolean enabled) {
        if (thread.isVirtual()) {
            throw new IllegalStateException(
                    "an Autocast was opened on a virtual thread: libtorch keeps it per thread of the operating "
                            + "system, so run tensor work on platform threads");
        }
        Handles.initialise();
        type = type(on);
        before = torch.is_autocast_enabled(type);
        dtypeBefore = torch.get_autocast_dtype(type);
        // Already off: change nothing. Closing would clear the cast cache, which all threads share.
        counted = enabled || before;
        if (counted) {
            torch.set_autocast_enabled(type, enabled);
            torch.set_autocast_dtype(type, ScalarType.BFloat16);
            torch.increment_nesting();
        }
    }

    /** Computes products on that kind of device in bfloat16 until the result is closed; not on virtual threads. */
    public static Autocast bfloat16(Device.Type on) {
        return new Autocast(on, true);
    }

    /**
     * Inside a {@link #bfloat16}, computes products on that kind of device in their operands' type until the result is
     * closed.
     */
    public static Autocast off(Device.Type on) {
        return new Autocast(on, false);
    }

    /** Returns true if products on that kind of device are computed in bfloat16 on this thread. */
    public static boolean isOn(Device.Type on) {
        Handles.initialise();
        return torch.is_autocast_enabled(type(on));
    }

    private static DeviceType type(Device.Type on) {
        return switch (on) {
            case CPU -> DeviceType.CPU;
            case CUDA -> DeviceType.CUDA;
        };
    }

    @Override
    public void close() {
        if (Thread.currentThread() != thread) {
            throw new IllegalStateException(
                    "this Autocast belongs to thread '" + thread.getName() + "': close it there");
        }
        if (counted && !closed) {
            closed = true;
            if (torch.decrement_nesting() == 0) {
                torch.clear_cache();
            }
            torch.set_autocast_enabled(type, before);
            torch.set_autocast_dtype(type, dtypeBefore);
        }
    }
}
