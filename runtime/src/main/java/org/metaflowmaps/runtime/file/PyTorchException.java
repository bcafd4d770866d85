package org.metaflowmaps.runtime.file;

/** A file that is not a PyTorch file of tensors, or not a safe one; the message names the file, what was found and what to do. */
public final class PyTorchException extends DamagedFileException {
    private static final long serialVersionUID = 1L;

    PyTorchException(String file, String found, String expected) {
        super(file + ": " + found + "; expected " + expected);
    }

    PyTorchException(String file, String found, String expected, Throwable cause) {
        super(file + ": " + found + "; expected " + expected, cause);
    }
}
