package org.metaflowmaps.bindings;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.function.Executable;

/** Asserts that a call throws, and parts of the message. */
final class Refusal {
    private Refusal() {}

    static void expect(Class<? extends Exception> type, String words, Executable call) {
        Exception thrown = assertThrows(type, call);
        assertTrue(String.valueOf(thrown.getMessage()).contains(words), thrown.toString());
    }
}
