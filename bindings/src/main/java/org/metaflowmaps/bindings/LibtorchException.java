package org.metaflowmaps.bindings;

/**
 * Thrown when a libtorch C function reports an error. The text is the function's name, then libtorch's message on one
 * line.
 */
public final class LibtorchException extends MetaFlowMapsException {
    private static final long serialVersionUID = 1L;

    LibtorchException(String message) {
        super(message);
    }
}
