/** Training: losses, optimisers, data, configurations, metrics, checkpoints of runs, and the trainer. */
module org.metaflowmaps.training {
    requires transitive org.metaflowmaps.models;
    requires com.fasterxml.jackson.annotation;
    requires com.google.common;
    requires java.desktop;
    requires org.slf4j;
    requires tools.jackson.core;
    requires tools.jackson.databind;
    requires tools.jackson.dataformat.yaml;
    requires static transitive org.jspecify;

    exports org.metaflowmaps.training;
    exports org.metaflowmaps.training.checkpoint;
    exports org.metaflowmaps.training.config;
    exports org.metaflowmaps.training.data;
    exports org.metaflowmaps.training.loss;
    exports org.metaflowmaps.training.metrics;
    exports org.metaflowmaps.training.optim;
    exports org.metaflowmaps.training.plan;

    // Configurations are read and written by reflection.
    opens org.metaflowmaps.training.config to
            tools.jackson.databind;
    opens org.metaflowmaps.training.data to
            tools.jackson.databind;
    opens org.metaflowmaps.training.loss to
            tools.jackson.databind;
}
