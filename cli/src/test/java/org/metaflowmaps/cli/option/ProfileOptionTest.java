package org.metaflowmaps.cli.option;

import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine.TypeConversionException;

class ProfileOptionTest {
    private final ProfileOption.Converter converter = new ProfileOption.Converter();

    @Test
    void stepsAreTheFirstAndTheLast() {
        assertNotNull(converter.convert("20:30"));
        assertNotNull(converter.convert("1:1"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "20", "20:", ":30", "20-30", "a:b", "-1:3", "0:3", "30:20"})
    void otherTextIsRefused(String text) {
        assertRefused(TypeConversionException.class, () -> converter.convert(text), "'" + text + "'");
    }
}
