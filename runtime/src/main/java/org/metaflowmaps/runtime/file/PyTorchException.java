package org.metaflowmaps.runtime.file;

/**
 * Thrown if a file is not a safe PyTorch file of tensors; the message names the file, what was found and what to do.
 */
public final class PyTorchException extends DamagedFileException {
    private static final long serialVersionUID = 1L;

    PyTorchException(String file, String found, String expected) {
        super(file + ": " + found + "; expected " + expected);
    }

    PyTorchException(String file, String found, String expected, Throwable cause) {
        super(file + ": " + found + "; expected " + expected, cause);
    }
}
