package org.metaflowmaps.training.config;

import com.google.common.base.Preconditions;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** Checks of settings, with messages that name the setting. */
final class Check {
    private Check() {}

    static void require(boolean holds, String template, @Nullable Object value) {
        Preconditions.checkArgument(holds, "config: " + template, value);
    }

    /** Returns a constant's name in a file. */
    static String name(Enum<?> value) {
        return value.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /** Checks for null, which a file may contain for any setting. */
    static void given(@Nullable Object value, String name) {
        require(value != null, "%s is null, expected a value", name);
    }
}
