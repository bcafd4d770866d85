package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.Optional;

/**
 * A linear layer on the CPU by oneDNN, with or without an activation ({@code aoti_torch_cpu__linear_pointwise}). It
 * knows neither gradients nor autocast.
 */
public final class LinearPointwise {
    private static final String NAME = "aoti_torch_cpu__linear_pointwise";

    // Input, weight, pointer to the bias's handle, name and scalars of the activation, pointer to its form, result.
    private static final Optional<MethodHandle> FUNCTION = Libtorch.functions()
            .find(
                    NAME,
                    FunctionDescriptor.of(
                            JAVA_INT, JAVA_LONG, JAVA_LONG, ADDRESS, ADDRESS, ADDRESS, JAVA_LONG, ADDRESS, ADDRESS));

    private static final MemorySegment NONE = Arena.global().allocateFrom("none");
    private static final MemorySegment GELU = Arena.global().allocateFrom("gelu");
    private static final MemorySegment TANH =
            Arena.global().allocateFrom(ADDRESS, Arena.global().allocateFrom("tanh"));

    private LinearPointwise() {}

    /** Whether this libtorch was built with oneDNN, which it is for x86-64. */
    public static boolean isAvailable() {
        return FUNCTION.isPresent();
    }

    /**
     * Computes x·Wᵀ + b, or its GELU in the tanh form.
     *
     * @param input handle of a float32 tensor (…, in)
     * @param weight handle of a float32 tensor (out, in)
     * @param bias handle of a float32 tensor (out), 0 for none
     * @param gelu true for its GELU
     * @return handle of a new tensor (…, out), owned by the caller
     * @throws LibtorchException if libtorch refuses the operands
     * @throws IllegalStateException if this libtorch has no oneDNN
     */
    public static long of(long input, long weight, long bias, boolean gelu) {
        MethodHandle function = FUNCTION.orElseThrow(
                () -> new IllegalStateException(NAME + ": this libtorch was built without oneDNN"));
        MemorySegment activation = gelu ? GELU : NONE;
        MemorySegment form = gelu ? TANH : MemorySegment.NULL;
        MemorySegment result = Scratch.slot();
        MemorySegment offset = bias == 0 ? MemorySegment.NULL : Scratch.argument(result, bias);
        int error;
        try {
            error = (int) function.invokeExact(input, weight, offset, activation, MemorySegment.NULL, 0L, form, result);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
        StableAbi.check(error, NAME);
        return result.get(JAVA_LONG, 0);
    }
}
