package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.function.Executable;

/** Asserts that something is refused with a message that says the right thing. */
public final class Refusal {
    private Refusal() {}

    public static String refused(Class<? extends RuntimeException> type, String part, Executable action) {
        String message = String.valueOf(assertThrows(type, action).getMessage());
        assertTrue(message.contains(part), message);
        return message;
    }

    public static void illegalState(String part, Executable action) {
        refused(IllegalStateException.class, part, action);
    }

    public static void illegalArgument(String part, Executable action) {
        refused(IllegalArgumentException.class, part, action);
    }
}
