/** Tensors, their lifetime, random numbers, and files of tensors. */
// module: the modules that internal packages are exported to are compiled later.
// requires-automatic: pickle has no descriptor, and its module's name is that of its jar.
@SuppressWarnings({"module", "requires-automatic"})
module org.metaflowmaps.runtime {
    // Exceptions extend the one of bindings.
    requires transitive org.metaflowmaps.bindings;
    // Shape is a record of one of its arrays.
    requires transitive com.google.common;
    // JavaCpp.wrap and unwrap.
    requires transitive org.bytedeco.pytorch;
    requires org.metaflowmaps.kernels;
    // Used by pickle, which has no descriptor.
    requires java.sql;
    requires jdk.jfr;
    requires jdk.management;
    requires org.apache.commons.compress;
    requires org.apache.commons.io;
    requires org.bytedeco.javacpp;
    requires org.slf4j;
    requires pickle;
    requires tools.jackson.core;
    requires static transitive org.jspecify;

    exports org.metaflowmaps.runtime;
    exports org.metaflowmaps.runtime.cuda;
    exports org.metaflowmaps.runtime.file;
    exports org.metaflowmaps.runtime.kernel to
            org.metaflowmaps.models,
            org.metaflowmaps.training,
            org.metaflowmaps.cli;
    exports org.metaflowmaps.runtime.internal to
            org.metaflowmaps.models,
            org.metaflowmaps.training,
            org.metaflowmaps.steering,
            org.metaflowmaps.cli;
}
