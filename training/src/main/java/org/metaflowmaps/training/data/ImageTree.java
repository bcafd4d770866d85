package org.metaflowmaps.training.data;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import org.metaflowmaps.runtime.internal.Texts;

/** The names of images in a folder with one subfolder per class, and counts of skipped files. */
final class ImageTree {
    private static final String EMPTY = "empty class folders";
    private static final String BESIDE = "beside the class folders";
    private static final List<String> ENDINGS = List.of(".png", ".jpg", ".jpeg");

    /** The most classes named in the summary. */
    private static final int NAMED = 12;

    private final Path folder;
    private final List<String> classNames = new ArrayList<>();
    private final List<Path> classFolders = new ArrayList<>();
    private final String[] files;
    private final int[] labels;
    private final Map<String, Integer> passedOver = new TreeMap<>();

    /**
     * Lists a folder.
     *
     * @throws IOException if it cannot be listed, has no subfolder with an image, or has a subfolder with other files
     *     only
     */
    ImageTree(Path folder) throws IOException {
        this(folder, false);
    }

    /**
     * Lists a folder.
     *
     * @param flat whether the folder itself may hold the images, if no subfolder does; they have one class without name
     * @throws IOException as for the other constructor
     */
    ImageTree(Path folder, boolean flat) throws IOException {
        this.folder = folder;
        List<String> found = new ArrayList<>();
        List<Integer> ends = new ArrayList<>();
        List<String> loose = new ArrayList<>();
        for (Map.Entry<String, Path> entry : entries(folder).entrySet()) {
            String name = entry.getKey();
            Path path = entry.getValue();
            if (name.startsWith(".")) {
                count("hidden");
            } else if (!Files.isDirectory(path)) {
                if (isImage(name) && Files.isRegularFile(path)) {
                    loose.add(name);
                }
                count(BESIDE);
            } else {
                int before = found.size();
                readClass(path, found);
                if (found.size() > before) {
                    classNames.add(name);
                    classFolders.add(path);
                    ends.add(found.size());
                }
            }
        }
        if (found.isEmpty() && flat && !loose.isEmpty()) {
            found.addAll(loose);
            classFolders.add(folder);
            ends.add(found.size());
            passedOver.computeIfPresent(BESIDE, (key, all) -> all == loose.size() ? null : all - loose.size());
        }
        if (found.isEmpty()) {
            throw new IOException(
                    folder + (passedOver.containsKey(EMPTY) ? " has only empty subfolders" : " has no subfolders")
                            + ", expected one per class, with PNG or JPEG files in each"
                            + (loose.isEmpty() ? "" : ": move its " + loose.size() + " images into a subfolder"));
        }
        this.files = found.toArray(new String[0]);
        this.labels = new int[files.length];
        for (int label = 1; label < ends.size(); label++) {
            Arrays.fill(labels, ends.get(label - 1), ends.get(label), label);
        }
    }

    private void readClass(Path classFolder, List<String> found) throws IOException {
        int before = found.size();
        int nested = 0;
        Map<String, Integer> others = new TreeMap<>();
        for (Map.Entry<String, Path> entry : entries(classFolder).entrySet()) {
            String name = entry.getKey();
            if (name.startsWith(".")) {
                count("hidden");
            } else if (Files.isDirectory(entry.getValue())) {
                nested++;
                count("folders inside class folders");
            } else if (!isImage(name)) {
                int dot = name.lastIndexOf('.');
                String ending = dot > 0 ? name.substring(dot).toLowerCase(Locale.ROOT) : "no ending";
                others.merge(ending, 1, Integer::sum);
                count(ending);
            } else if (!Files.isRegularFile(entry.getValue())) {
                others.merge("broken links", 1, Integer::sum);
                count("broken links");
            } else {
                found.add(name);
            }
        }
        if (found.size() > before) {
            return;
        }
        if (nested > 0 || !others.isEmpty()) {
            // Do not skip such a class silently; skipping an empty folder is fine.
            throw new IOException(
                    classFolder + " holds no PNG or JPEG file, but " + (nested > 0 ? nested + " folders" : told(others))
                            + ": expected the images of one class in each folder, directly. Remove it, or put images"
                            + " into it");
        }
        count(EMPTY);
    }

    /** Returns the entries of a folder by name, sorted by code units. */
    private static Map<String, Path> entries(Path folder) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            Map<String, Path> byName = new TreeMap<>();
            for (Path entry : (Iterable<Path>) entries::iterator) {
                String name = entry.getFileName().toString();
                if (byName.put(name, entry) != null || !isOwnName(folder, name, entry)) {
                    throw new IOException("the name of " + entry
                            + " cannot be distinguished from others in this locale (its encoding is "
                            + System.getProperty("sun.jnu.encoding") + "): set LC_ALL=C.UTF-8, or rename the file");
                }
            }
            return byName;
        } catch (NotDirectoryException e) {
            throw new IOException(folder + " is not a folder, expected one with a subfolder per class", e);
        }
    }

    /** Returns whether a name finds its file again; names with bytes outside the locale's encoding do not. */
    @SuppressWarnings("UnusedException")
    private static boolean isOwnName(Path folder, String name, Path entry) {
        try {
            return name.indexOf('\ufffd') < 0 || folder.resolve(name).equals(entry);
        } catch (InvalidPathException e) {
            return false;
        }
    }

    static boolean isImage(String name) {
        String lower = name.toLowerCase(Locale.ROOT);
        return ENDINGS.stream().anyMatch(lower::endsWith);
    }

    private void count(String kind) {
        passedOver.merge(kind, 1, Integer::sum);
    }

    private static String told(Map<String, Integer> counts) {
        return counts.entrySet().stream()
                .map(count -> count.getValue() + " " + count.getKey())
                .collect(Collectors.joining(", "));
    }

    int count() {
        return files.length;
    }

    List<String> classNames() {
        return List.copyOf(classNames);
    }

    /** Returns each image's class; do not modify. */
    int[] labels() {
        return labels;
    }

    Path file(int index) {
        return classFolders.get(labels[index]).resolve(files[index]);
    }

    /** Returns an image's name, with its class if that has one. */
    String name(int index) {
        return classNames.isEmpty() ? files[index] : classNames.get(labels[index]) + "/" + files[index];
    }

    /** Returns a key of an image that does not depend on other images: CRC-32 of the names of its class and file. */
    long key(int index) {
        CRC32 sum = new CRC32();
        sum.update(name(index).getBytes(StandardCharsets.UTF_8));
        return sum.getValue();
    }

    /** Returns a one-line summary of found and skipped files. */
    String summary(int heldOut) {
        if (classNames.isEmpty()) {
            return folder + ": " + files.length + " images without class folders; skipped: "
                    + (passedOver.isEmpty() ? "nothing" : told(passedOver));
        }
        int[] sizes = new int[classNames.size()];
        for (int label : labels) {
            sizes[label]++;
        }
        String classes = IntStream.range(0, Math.min(NAMED, sizes.length))
                .mapToObj(label -> printable(classNames.get(label)) + " " + sizes[label])
                .collect(Collectors.joining(", "));
        return folder + ": " + files.length + " images in " + sizes.length
                + (sizes.length == 1 ? " class (" : " classes (") + classes
                + (sizes.length > NAMED ? ", ..." : "") + ")"
                + (heldOut == 0 ? "" : ", " + heldOut + " of them held out")
                + "; skipped: " + (passedOver.isEmpty() ? "nothing" : told(passedOver));
    }

    /** Returns a name without control characters. */
    static String printable(String name) {
        return Texts.oneLine(name);
    }
}
