package org.metaflowmaps.training.data;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileVisitOption;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import org.metaflowmaps.models.vision.image.ByteImage;

/** The PNG and JPEG files of a folder and its subfolders, without regard to classes. */
public final class ImageFiles {
    private ImageFiles() {}

    /**
     * Lists a folder. Hidden files and folders, and files not ending in .png, .jpg or .jpeg, are skipped.
     *
     * @return at least one file, sorted by path within the folder, names by code units
     * @throws IOException if it is not a folder, cannot be listed, or has no image
     */
    public static List<Path> list(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) {
            throw new IOException(folder + " is not a folder, expected one of PNG or JPEG files");
        }
        List<Path> files;
        try (Stream<Path> all = Files.walk(folder, FileVisitOption.FOLLOW_LINKS)) {
            files = all.filter(file -> ImageTree.isImage(String.valueOf(file.getFileName()))
                            && !isHidden(folder.relativize(file))
                            && Files.isRegularFile(file))
                    .sorted(Comparator.comparing(file -> folder.relativize(file).toString()))
                    .toList();
        } catch (UncheckedIOException e) {
            throw new IOException(folder + " cannot be listed: " + e.getMessage(), e);
        }
        if (files.isEmpty()) {
            throw new IOException(folder + " has no file that ends in .png, .jpg or .jpeg, expected images");
        }
        return files;
    }

    private static boolean isHidden(Path within) {
        for (Path name : within) {
            if (name.toString().startsWith(".")) {
                return true;
            }
        }
        return false;
    }

    /**
     * Reads a file as red, green and blue bytes, with the pixels of Pillow's {@code convert("RGB")}.
     *
     * @throws DamagedItemException if it is not a complete PNG or JPEG image
     * @throws IOException if it cannot be read
     */
    public static ByteImage read(Path file) throws IOException {
        return ImageFile.read(file, 3);
    }
}
