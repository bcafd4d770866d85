package org.metaflowmaps.models.checkpoint;

import java.io.IOException;
import java.util.List;

/** Thrown for a file whose tensors do not show all settings of its network: {@link NetworkSettings} has to name the others. */
public final class MissingSettingsException extends IOException {
    private static final long serialVersionUID = 1L;

    private final transient List<String> keys;

    MissingSettingsException(String message, List<String> keys) {
        super(message);
        this.keys = List.copyOf(keys);
    }

    /** Returns the settings that are needed, by their names in a file: never empty; unmodifiable. */
    public List<String> keys() {
        return keys;
    }
}
