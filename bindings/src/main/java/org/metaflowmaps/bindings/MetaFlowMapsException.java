package org.metaflowmaps.bindings;

/** Base class of this library's unchecked exceptions: a native call, a run or a device failed. */
public abstract class MetaFlowMapsException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** Makes the exception with its whole text. */
    protected MetaFlowMapsException(String message) {
        super(message);
    }

    /** Makes the exception with its whole text and its cause. */
    protected MetaFlowMapsException(String message, Throwable cause) {
        super(message, cause);
    }
}
