package org.metaflowmaps.runtime;

/**
 * Converts between {@link Tensor} and JavaCPP's tensor, for operators that this library lacks. JavaCPP's types appear in the
 * public signatures of no other class.
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
     * Makes a {@link Tensor} on the memory of a JavaCPP tensor, without a copy.
     *
     * <p>The result and {@code raw} each hold the memory: either may be closed first, and the memory is freed with the last.
     * The caller closes {@code raw}: JavaCPP's garbage collection, which would do it, is off unless the application turned it on.
     *
     * @param raw the JavaCPP tensor, open, of any shape and an element type of {@link DType}; it must not be closed by another
     *     thread during this call
     * @return a new tensor of the innermost open scope
     * @throws IllegalStateException if {@code raw} was closed, or if no scope is open
     */
    public static Tensor wrap(org.bytedeco.pytorch.Tensor raw) {
        return Tensor.wrap(raw);
    }

    /**
     * Returns the JavaCPP object that a {@link Tensor} owns, without a copy.
     *
     * <p>It stays the tensor's, which closes it: do not close it, and do not use it after the tensor was freed. Keep the tensor
     * open until calls through the object are over, best in a scope of the calling thread: when one thread frees what another
     * reads, this library waits for its own calls, but does not see those through JavaCPP.
     *
     * @param tensor the tensor, open
     * @return the object itself; tensors that its methods return belong to the caller, who closes them or hands them to
     *     {@link #wrap} and then closes them
     * @throws IllegalStateException if the tensor, or memory of an arena that it shows, was freed
     */
    public static org.bytedeco.pytorch.Tensor unwrap(Tensor tensor) {
        return Operands.present("unwrap", "tensor", tensor).unwrap();
    }
}
