package org.metaflowmaps.bindings;

/** Thrown when a function of the CUDA runtime, the CUDA driver or NVRTC reports an error. */
public final class CudaException extends MetaFlowMapsException {
    private static final long serialVersionUID = 1L;

    private final int code;

    CudaException(String message, int code) {
        super(message);
        this.code = code;
    }

    /**
     * The error code: a {@code cudaError_t}, {@code CUresult} or {@code nvrtcResult}, by the function in the message.
     */
    public int code() {
        return code;
    }
}
