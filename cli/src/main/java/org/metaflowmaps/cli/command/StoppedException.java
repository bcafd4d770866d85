package org.metaflowmaps.cli.command;

/** A signal stopped a command before it had a result. */
final class StoppedException extends RuntimeException {
    private static final long serialVersionUID = 1;

    StoppedException(String message) {
        super(message);
    }
}
