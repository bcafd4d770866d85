package org.metaflowmaps.training.config;

import com.fasterxml.jackson.annotation.JsonProperty;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Device;

/** The precision of a network's computation; weights, results and later computation are always float32. */
public enum Precision {
    /** Everything in float32. */
    @JsonProperty("float32")
    FLOAT32,
    /** Matrix products and attention in bfloat16, the rest in float32: {@link Autocast}. */
    @JsonProperty("bfloat16")
    BFLOAT16;

    /** Computes in this precision on a device and this thread until the result is closed. */
    public Autocast on(Device device) {
        return switch (this) {
            case FLOAT32 -> Autocast.off(device.type());
            case BFLOAT16 -> Autocast.bfloat16(device.type());
        };
    }
}
