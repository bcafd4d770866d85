/** All that an application needs to load networks and to sample: networks, their files, drifts, exact mixtures and samplers. */
// The modules that the internal package is exported to are compiled later.
@SuppressWarnings("module")
module org.metaflowmaps.models {
    requires transitive org.metaflowmaps.runtime;
    // StrictJson returns its trees.
    requires transitive tools.jackson.databind;
    requires com.fasterxml.jackson.annotation;
    requires com.google.common;
    requires org.slf4j;
    requires tools.jackson.core;
    requires static transitive org.jspecify;

    exports org.metaflowmaps.models.checkpoint;
    exports org.metaflowmaps.models.drift;
    exports org.metaflowmaps.models.mixture;
    exports org.metaflowmaps.models.model;
    exports org.metaflowmaps.models.sampler;
    exports org.metaflowmaps.models.vision;
    exports org.metaflowmaps.models.vision.image;
    exports org.metaflowmaps.models.vision.text;
    exports org.metaflowmaps.models.layer to
            org.metaflowmaps.training,
            org.metaflowmaps.cli;

    // Settings of networks are read and written by reflection.
    opens org.metaflowmaps.models.model to
            tools.jackson.databind;
}
