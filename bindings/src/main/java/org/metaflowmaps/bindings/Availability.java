package org.metaflowmaps.bindings;

/** Whether an optional shared library was found. */
public sealed interface Availability {
    /**
     * The library was found.
     *
     * @param location the path it was loaded from, or the name under which the system's loader found it
     */
    record Found(String location) implements Availability {}

    /**
     * The library is missing or could not be loaded.
     *
     * @param reason what was looked for and where, in a sentence for the user
     */
    record Missing(String reason) implements Availability {}

    /** Whether the library can be called. */
    default boolean present() {
        return this instanceof Found;
    }
}
