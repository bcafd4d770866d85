package org.metaflowmaps.training.config;

import com.fasterxml.jackson.annotation.JsonProperty;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Device;

/** What a network computes in; its weights, its results and what is made of them are float32 in any case. */
public enum Precision {
    /** Everything in float32. */
    @JsonProperty("float32")
    FLOAT32,
    /** Matrix products and attention in bfloat16, the rest in float32: {@link Autocast}. */
    @JsonProperty("bfloat16")
    BFLOAT16;

    /** Computes so on a device until closed, on this thread. */
    public Autocast on(Device device) {
        return switch (this) {
            case FLOAT32 -> Autocast.off(device.type());
            case BFLOAT16 -> Autocast.bfloat16(device.type());
        };
    }
}
