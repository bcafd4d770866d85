/** Programs that show how to use the library. */
module org.metaflowmaps.examples {
    requires org.metaflowmaps.steering;
    requires static org.jspecify;
}
