package org.metaflowmaps.models.model;

import com.fasterxml.jackson.annotation.JsonProperty;

/** Which of the method's inputs a network has parameters for. */
public enum Layout {
    /** All of them: both times, the context's time and state, labels, guidance. */
    @JsonProperty("meta-flow-map")
    META_FLOW_MAP,
    /**
     * Both times and labels; the context and its guidance are not looked at. On the diagonal it is a flow: the parameters are those
     * of SiT, and, off it, of a decoupled flow map (DMF), which shows the first blocks the start time and the others the end time.
     */
    @JsonProperty("flow-map")
    FLOW_MAP
}
