package org.metaflowmaps.bindings;

/** Thrown when a libtorch C function reports an error; the text is libtorch's own, on one line, after the name of what was called. */
public final class LibtorchException extends MetaFlowMapsException {
    private static final long serialVersionUID = 1L;

    LibtorchException(String message) {
        super(message);
    }
}
