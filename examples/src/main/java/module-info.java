/** Programs that show how to use the library. */
module org.metaflowmaps.examples {
    requires org.metaflowmaps.training;
    requires static org.jspecify;
}
