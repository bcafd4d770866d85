/** The {@code mfm} command, which exports nothing. */
// XChart has no descriptor, and its module's name is that of its jar.
@SuppressWarnings("requires-automatic")
module org.metaflowmaps.cli {
    requires info.picocli;
    requires java.desktop;
    requires me.tongfei.progressbar;
    requires org.metaflowmaps.steering;
    requires tools.jackson.core;
    requires tools.jackson.databind;
    requires tools.jackson.dataformat.yaml;
    requires xchart;
    requires static org.jspecify;

    // picocli makes commands and fills their fields by reflection.
    opens org.metaflowmaps.cli to
            info.picocli;
    opens org.metaflowmaps.cli.command to
            info.picocli;
    opens org.metaflowmaps.cli.option to
            info.picocli;
}
