package org.metaflowmaps.runtime.file;

import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.internal.Texts;

/**
 * Thrown if a file is not a valid safetensors file; the message names the file, the tensor, what was found and what is
 * expected.
 */
public final class SafetensorsException extends DamagedFileException {
    private static final long serialVersionUID = 1L;

    SafetensorsException(String file, @Nullable String tensor, String found, String expected) {
        super(file + (tensor == null ? "" : ": tensor " + Texts.quote(tensor)) + ": " + found + "; expected "
                + expected);
    }
}
