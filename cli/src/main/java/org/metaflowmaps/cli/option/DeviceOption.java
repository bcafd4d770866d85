package org.metaflowmaps.cli.option;

import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.internal.Suggestions;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;
import picocli.CommandLine.TypeConversionException;

/** {@code --device}, for every command that computes. */
public final class DeviceOption {
    @Option(
            names = "--device",
            paramLabel = "DEVICE",
            converter = Converter.class,
            description = "Device: cpu, cuda or cuda:N. Default: the first GPU if there is one, else the CPU.")
    private @Nullable Device device;

    private @Nullable Device chosen;

    /** Returns the chosen device. Loads libtorch only now, because help texts do not need it. */
    public Device get() {
        if (chosen == null) {
            chosen = device == null ? Device.preferred() : device;
        }
        return chosen;
    }

    /** Returns the device on the command line, if any. */
    public @Nullable Device given() {
        return device;
    }

    /** Parses a device and checks that it is available. */
    static final class Converter implements ITypeConverter<Device> {
        @Override
        public Device convert(String text) {
            Device named;
            try {
                named = Device.parse(text);
            } catch (IllegalArgumentException e) {
                // Do not suggest "cpu" for "gpu", although the letters are close.
                String meant = text.toLowerCase(Locale.ROOT).startsWith("gpu") ? "cuda" : text;
                throw new TypeConversionException(
                        e.getMessage() + Suggestions.didYouMean(meant, List.of("cpu", "cuda")));
            }
            try {
                return named.available();
            } catch (IllegalArgumentException e) {
                throw new TypeConversionException(e.getMessage() + "; mfm doctor shows what is missing");
            }
        }
    }
}
