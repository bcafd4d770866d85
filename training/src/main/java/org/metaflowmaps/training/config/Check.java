package org.metaflowmaps.training.config;

import com.google.common.base.Preconditions;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** What a configuration must hold, said so that its reader finds the place. */
final class Check {
    private Check() {}

    static void require(boolean holds, String template, @Nullable Object value) {
        Preconditions.checkArgument(holds, "config: " + template, value);
    }

    /** A constant's name in a file. */
    static String name(Enum<?> value) {
        return value.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /** A file may say null where the types do not. */
    static void given(@Nullable Object value, String name) {
        require(value != null, "%s is null, expected a value", name);
    }
}
