package org.metaflowmaps.runtime;

import java.util.regex.Pattern;
import org.metaflowmaps.bindings.LibtorchText;
import org.metaflowmaps.bindings.MetaFlowMapsException;

/**
 * Thrown when libtorch rejects an operation; the message names the operation, its operands and libtorch's reason. If
 * memory was short, it also names the largest live tensors.
 */
public final class TensorException extends MetaFlowMapsException {
    private static final long serialVersionUID = 1L;

    /**
     * Messages of libtorch's allocators and CUDA's libraries, because JavaCPP keeps a C++ exception's text, not its
     * class.
     */
    private static final Pattern OUT_OF_MEMORY = Pattern.compile(
            "out of memory|can't allocate memory|not enough memory|ALLOC_FAILED", Pattern.CASE_INSENSITIVE);

    private TensorException(String message, Throwable cause) {
        super(message, cause);
    }

    /**
     * Returns the exception to throw: this library's own exceptions unchanged, libtorch's with operation and operands.
     */
    static RuntimeException of(String operation, RuntimeException cause, Tensor... operands) {
        for (int i = 0; i < operands.length; i++) {
            if (operands[i] == null) {
                return new NullPointerException(operation + ": the " + ordinal(i) + " operand is null");
            }
        }
        if (cause instanceof NullPointerException
                || cause instanceof IllegalStateException
                || cause instanceof IllegalArgumentException
                || cause instanceof TensorException) {
            return cause;
        }
        StringBuilder text = new StringBuilder(operation).append(" failed");
        for (int i = 0; i < operands.length; i++) {
            text.append(i == 0 ? " on " : " and ").append(describe(operands[i]));
        }
        String reason = LibtorchText.sentence(cause.getMessage());
        text.append(": ").append(reason);
        if (OUT_OF_MEMORY.matcher(reason).find()) {
            text.append(LiveTensors.report(String.valueOf(cause.getMessage())));
        }
        return new TensorException(text.toString(), cause);
    }

    /** Returns true if the device had too little memory: the same work in smaller parts may succeed. */
    public boolean isOutOfMemory() {
        return OUT_OF_MEMORY.matcher(getMessage()).find();
    }

    private static String ordinal(int index) {
        return switch (index) {
            case 0 -> "first";
            case 1 -> "second";
            case 2 -> "third";
            default -> (index + 1) + "th";
        };
    }

    private static String describe(Tensor tensor) {
        return tensor.isFreed() ? "a freed tensor" : tensor.dtype() + "" + tensor.shape();
    }
}
