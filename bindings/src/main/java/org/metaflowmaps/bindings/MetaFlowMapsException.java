package org.metaflowmaps.bindings;

/** What this library throws unchecked beside the JDK's own exceptions: a native call, a run or a device that failed. */
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
