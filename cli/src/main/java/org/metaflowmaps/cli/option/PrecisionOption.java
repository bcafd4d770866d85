package org.metaflowmaps.cli.option;

import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.training.config.Precision;
import picocli.CommandLine.Option;

/** {@code --precision}, for every command that draws from a map. */
public final class PrecisionOption {
    /** The names of a configuration file. */
    enum Name {
        float32(Precision.FLOAT32),
        bfloat16(Precision.BFLOAT16);

        private final Precision precision;

        Name(Precision precision) {
            this.precision = precision;
        }
    }

    @Option(
            names = "--precision",
            paramLabel = "TYPE",
            description = "What the network computes in: ${COMPLETION-CANDIDATES}. Default: ${DEFAULT-VALUE}.")
    private Name name = Name.float32;

    /** Computes in the chosen precision until closed, on this thread. */
    public Autocast on(Device device) {
        return name.precision.on(device);
    }
}
