package org.metaflowmaps.models.model;

import com.fasterxml.jackson.annotation.JsonProperty;

/** The method's inputs for which a network has parameters. */
public enum Layout {
    /** All of them: both times, the context's time and state, labels, guidance. */
    @JsonProperty("meta-flow-map")
    META_FLOW_MAP,
    /**
     * Both times and labels; the context and its guidance are ignored. With equal times it is a flow with SiT's
     * parameters; with different times it is a decoupled flow map (DMF), whose first blocks get the start time and the
     * others the end time.
     */
    @JsonProperty("flow-map")
    FLOW_MAP
}
