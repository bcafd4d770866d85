package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.function.Executable;

/** Asserts that a call throws with an expected message. */
public final class Refusal {
    private Refusal() {}

    /** Asserts an exception whose message has this part; returns the message. */
    public static String refused(Class<? extends RuntimeException> type, String part, Executable action) {
        String message = String.valueOf(assertThrows(type, action).getMessage());
        assertTrue(message.contains(part), message);
        return message;
    }

    /** Asserts an IllegalStateException whose message has this part. */
    public static void illegalState(String part, Executable action) {
        refused(IllegalStateException.class, part, action);
    }

    /** Asserts an IllegalArgumentException whose message has this part. */
    public static void illegalArgument(String part, Executable action) {
        refused(IllegalArgumentException.class, part, action);
    }

    /** Asserts an IllegalArgumentException whose message has all of these parts. */
    public static void assertRefused(Executable action, String... parts) {
        assertRefused(IllegalArgumentException.class, action, parts);
    }

    /** Asserts an exception of a type whose message has all of these parts. */
    public static void assertRefused(Class<? extends Exception> type, Executable action, String... parts) {
        String message = String.valueOf(assertThrows(type, action).getMessage());
        for (String part : parts) {
            assertTrue(message.contains(part), "'" + message + "' lacks '" + part + "'");
        }
    }
}
