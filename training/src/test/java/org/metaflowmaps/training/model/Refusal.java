package org.metaflowmaps.training.model;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.function.Executable;

/** Bad input must be refused with a text that says what was given and what was expected. */
public final class Refusal {
    private Refusal() {}

    /** An IllegalArgumentException whose message has all of these parts. */
    public static void assertRefused(Executable action, String... parts) {
        assertRefused(IllegalArgumentException.class, action, parts);
    }

    /** An exception of a type whose message has all of these parts. */
    public static void assertRefused(Class<? extends Exception> type, Executable action, String... parts) {
        String message = String.valueOf(assertThrows(type, action).getMessage());
        for (String part : parts) {
            assertTrue(message.contains(part), "'" + message + "' lacks '" + part + "'");
        }
    }
}
