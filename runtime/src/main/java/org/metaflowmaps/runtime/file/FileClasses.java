package org.metaflowmaps.runtime.file;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;

/**
 * Loads the classes that reading a file needs while file descriptors are free.
 *
 * <p>A class loader that cannot open a JAR file never tries that file again, and the JVM remembers each reference that
 * could not be resolved. So a first read without free descriptors would break all later reads.
 */
final class FileClasses {
    /** The number of JAR files that reading a tensor file may open. */
    private static final int DESCRIPTORS = 12;

    private static volatile boolean loaded;

    private FileClasses() {}

    /**
     * Loads the classes, once.
     *
     * @param path a file that can be opened
     * @throws IOException if there are too few descriptors, or the file cannot be opened
     */
    static void load(Path path) throws IOException {
        if (loaded) {
            return;
        }
        List<FileChannel> spare = new ArrayList<>();
        try {
            for (int i = 0; i < DESCRIPTORS; i++) {
                spare.add(FileChannel.open(path, StandardOpenOption.READ));
            }
        } finally {
            for (FileChannel channel : spare) {
                channel.close();
            }
        }
        FileProbe.readBoth();
        loaded = true;
    }
}
