/** Evaluation of samplers and their maps. */
module org.metaflowmaps.steering {
    requires transitive org.metaflowmaps.training;
    requires com.google.common;
    requires static transitive org.jspecify;

    exports org.metaflowmaps.steering;
    exports org.metaflowmaps.steering.evaluation;
}
