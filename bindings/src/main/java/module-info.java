/**
 * Calls to native code, and the loading of libtorch. Applications need {@code MetaFlowMapsException} and {@code Libtorch} of it;
 * tensors are in {@code org.metaflowmaps.runtime}.
 */
module org.metaflowmaps.bindings {
    requires org.bytedeco.javacpp;
    // Its classes are loaded by name.
    requires org.bytedeco.openblas;
    requires org.bytedeco.pytorch;
    requires org.slf4j;
    requires static transitive org.jspecify;

    exports org.metaflowmaps.bindings;
}
