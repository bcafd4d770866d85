package org.metaflowmaps.bindings;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** The mount options of a folder's file system on Linux. */
final class Mount {
    private static final Path TABLE = Path.of("/proc/self/mountinfo");

    private Mount() {}

    /** Returns true if no library can be loaded from a folder; false if that is not known. */
    static boolean isNoexec(Path folder) {
        try {
            return Files.isReadable(TABLE) && isNoexec(Files.readAllLines(TABLE), folder.toRealPath());
        } catch (IOException e) {
            return false;
        }
    }

    /**
     * The innermost mount decides, and of two at one place the later one. Fields of a line: id, parent, device, root,
     * place, options.
     */
    static boolean isNoexec(List<String> table, Path folder) {
        int depth = -1;
        boolean noexec = false;
        for (String line : table) {
            String[] fields = line.split(" ", 7);
            if (fields.length > 5) {
                Path place = Path.of(fields[4].replace("\\040", " "));
                if (folder.startsWith(place) && place.getNameCount() >= depth) {
                    depth = place.getNameCount();
                    noexec = List.of(fields[5].split(",", -1)).contains("noexec");
                }
            }
        }
        return noexec;
    }
}
