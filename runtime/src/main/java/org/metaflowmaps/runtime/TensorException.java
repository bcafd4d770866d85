package org.metaflowmaps.runtime;

import java.util.Arrays;

/** An operation on tensors that libtorch refused; the message names the operation, its operands and libtorch's reason. */
public final class TensorException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private TensorException(String message, Throwable cause) {
        super(message, cause);
    }

    /** What to throw for a failure: one of this library's own checks as it is, one of libtorch's with its context. */
    static RuntimeException of(String operation, RuntimeException cause, Tensor... operands) {
        if (cause instanceof IllegalStateException || cause instanceof IllegalArgumentException || cause instanceof TensorException) {
            return cause;
        }
        StringBuilder text = new StringBuilder(operation).append(" failed");
        for (int i = 0; i < operands.length; i++) {
            text.append(i == 0 ? " on " : " and ").append(describe(operands[i]));
        }
        return new TensorException(text.append(": ").append(reason(cause)).toString(), cause);
    }

    /** libtorch's own sentence, without the C++ stack that it prints below. */
    private static String reason(RuntimeException cause) {
        String text = String.valueOf(cause.getMessage());
        int stack = text.indexOf("\nException raised from");
        return (stack < 0 ? text : text.substring(0, stack)).strip();
    }

    private static String describe(Tensor tensor) {
        return tensor.isFreed() ? "a freed tensor" : tensor.dtype() + Arrays.toString(tensor.shape());
    }
}
