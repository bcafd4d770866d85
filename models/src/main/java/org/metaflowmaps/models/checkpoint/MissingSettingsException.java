package org.metaflowmaps.models.checkpoint;

import java.io.IOException;
import java.util.List;

/** Thrown if a file's tensors do not show all settings of its network: pass the others as {@link NetworkSettings}. */
public final class MissingSettingsException extends IOException {
    private static final long serialVersionUID = 1L;

    private final transient List<String> keys;

    MissingSettingsException(String message, List<String> keys) {
        super(message);
        this.keys = List.copyOf(keys);
    }

    /** Returns the missing settings by their names in files: never empty; unmodifiable. */
    public List<String> keys() {
        return keys;
    }
}
