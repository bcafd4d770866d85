package org.metaflowmaps.cli.option;

import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.training.config.Precision;
import picocli.CommandLine.Option;

/** {@code --precision}, for every sampling command. */
public final class PrecisionOption {
    /** The names in configuration files. */
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
            description = "Precision of the network: ${COMPLETION-CANDIDATES}. Default: ${DEFAULT-VALUE}.")
    private Name name = Name.float32;

    /** Computes in the chosen precision on this thread until the result is closed. */
    public Autocast on(Device device) {
        return name.precision.on(device);
    }

    /**
     * As {@link #on(Device)}, and converts a map's weights once instead of in each evaluation.
     *
     * @param map with weights that do not change later
     */
    public Autocast on(Device device, MetaFlowMap map) {
        if (name.precision == Precision.BFLOAT16) {
            map.parameters().narrow();
        }
        return on(device);
    }
}
