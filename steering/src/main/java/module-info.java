/** Rewards, value functions, steered samplers, particle filters, fine-tuning, and the evaluation of samplers. */
module org.metaflowmaps.steering {
    requires transitive org.metaflowmaps.training;
    requires com.google.common;
    requires org.slf4j;
    requires tools.jackson.core;
    requires tools.jackson.databind;
    requires static transitive org.jspecify;

    exports org.metaflowmaps.steering;
    exports org.metaflowmaps.steering.evaluation;
    exports org.metaflowmaps.steering.finetune;
    exports org.metaflowmaps.steering.metric;
    exports org.metaflowmaps.steering.particle;
    exports org.metaflowmaps.steering.reward;
    exports org.metaflowmaps.steering.sampler;
    exports org.metaflowmaps.steering.value;

    // Results of studies are written and read by reflection.
    opens org.metaflowmaps.steering.evaluation to
            tools.jackson.databind;
    // A command reads settings of fine-tuning by reflection.
    opens org.metaflowmaps.steering.finetune to
            tools.jackson.databind;
}
