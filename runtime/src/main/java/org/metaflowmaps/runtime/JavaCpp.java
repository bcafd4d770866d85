package org.metaflowmaps.runtime;

/**
 * Converts between {@link Tensor} and JavaCPP's tensor, for operators that this library lacks. No other class has
 * JavaCPP's types in public signatures.
 *
 * <pre>{@code
 * try (org.bytedeco.pytorch.Tensor trace = JavaCpp.unwrap(matrix).trace()) {
 *     return JavaCpp.wrap(trace);
 * }
 * }</pre>
 */
public final class JavaCpp {
    private JavaCpp() {}

    /**
     * Makes a {@link Tensor} over the memory of a JavaCPP tensor, without a copy.
     *
     * <p>The result and {@code raw} each hold the memory: either may be closed first, and the memory is freed with the
     * last. The caller closes {@code raw}, because JavaCPP's garbage collection is off unless the application turned it
     * on.
     *
     * @param raw the JavaCPP tensor, open, of any shape and an element type of {@link DType}; it must not be closed by
     *     another thread during this call
     * @return a new tensor of the innermost open scope
     * @throws IllegalStateException if {@code raw} was closed, or if no scope is open
     */
    public static Tensor wrap(org.bytedeco.pytorch.Tensor raw) {
        return Tensor.wrap(raw);
    }

    /**
     * Returns the JavaCPP object that a {@link Tensor} owns, without a copy.
     *
     * <p>The tensor owns and closes the object: do not close it, and do not use it after the tensor was freed. Keep the
     * tensor open until calls through the object return, best in a scope of the calling thread: when another thread
     * frees the tensor, this library waits only for its own calls, not for calls through JavaCPP.
     *
     * @param tensor the tensor, open
     * @return the object itself; the caller closes tensors that its methods return, also after passing them to
     *     {@link #wrap}
     * @throws IllegalStateException if the tensor, or the arena of its memory, was freed
     */
    public static org.bytedeco.pytorch.Tensor unwrap(Tensor tensor) {
        return Operands.present("unwrap", "tensor", tensor).unwrap();
    }
}
