package org.metaflowmaps.training.data;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;
import org.metaflowmaps.runtime.file.NpyArray;

/** Latents in an archive of {@code .npy} files. */
record ZippedLatents(Path archive, ZipFile zip, List<String> names) implements LatentFiles.Source {
    /** The largest unpacked latent, because a small archive can claim any size. */
    private static final int MOST_BYTES = 1 << 24;

    @Override
    public int count() {
        return names.size();
    }

    @Override
    public Path file(int index) {
        return archive.resolve(names.get(index));
    }

    @Override
    public NpyArray read(int index, boolean mirrored) throws IOException {
        return NpyArray.of(file(index), entry(archive, zip, names.get(index), MOST_BYTES));
    }

    @Override
    public void close() {
        try {
            zip.close();
        } catch (IOException e) {
            throw new UncheckedIOException(archive + " cannot be closed", e);
        }
    }

    /** Reads a whole entry of at most that many bytes. */
    static byte[] entry(Path file, ZipFile zip, String name, int most) throws IOException {
        ZipEntry entry = zip.getEntry(name);
        if (entry == null || entry.getSize() > most) {
            throw new ZipException(
                    entry == null
                            ? file + " has no entry " + name
                            : file + ": entry " + name + " has " + entry.getSize() + " bytes, expected at most "
                                    + most);
        }
        try (InputStream in = zip.getInputStream(entry)) {
            return in.readNBytes(most);
        }
    }

    /** MAR's archives, one for each latent. */
    record Each(List<Path> files) implements LatentFiles.Source {
        private static final String ENDING = ".npz";

        @Override
        public int count() {
            return files.size();
        }

        @Override
        public Path file(int index) {
            return files.get(index);
        }

        @Override
        public NpyArray read(int index, boolean mirrored) throws IOException {
            try (ZipFile zip = new ZipFile(files.get(index).toFile())) {
                return NpyArray.of(files.get(index), entry(files.get(index), zip, name(mirrored), MOST_BYTES));
            }
        }

        private static String name(boolean mirrored) {
            return LatentShards.MOMENTS + (mirrored ? LatentShards.MIRRORED : "") + NpyLatents.ENDING;
        }

        /** Returns whether there are class folders of archives. */
        static boolean present(List<Path> entries) throws IOException {
            for (Path entry : entries) {
                if (Files.isDirectory(entry)
                        && !LatentFiles.ending(entry, ENDING).isEmpty()) {
                    return true;
                }
            }
            return false;
        }

        /** Opens one folder per class, like those of the images. */
        static Items open(LatentWish wish) throws IOException {
            List<Path> files = new ArrayList<>();
            List<String> classNames = new ArrayList<>();
            List<Long> labels = new ArrayList<>();
            for (Path entry : LatentFiles.list(wish.folder())) {
                List<Path> own = Files.isDirectory(entry) ? LatentFiles.ending(entry, ENDING) : List.of();
                own.forEach(file -> labels.add((long) classNames.size()));
                files.addAll(own);
                if (!own.isEmpty()) {
                    classNames.add(entry.getFileName().toString());
                }
            }
            Integer classes = wish.classes();
            if (classes != null && classes != classNames.size()) {
                throw new IOException(wish.folder() + ": data.classes is " + classes + ", but there are "
                        + classNames.size() + " class folders: set it to that, or to null");
            }
            boolean mirrored;
            try (ZipFile zip = new ZipFile(files.getFirst().toFile())) {
                mirrored = zip.getEntry(name(true)) != null;
            }
            return wish.open(
                    LatentCaches.Layout.MAR,
                    new Each(files),
                    LatentForm.MEAN_LOG_VARIANCE,
                    labels.stream().mapToLong(Long::longValue).toArray(),
                    classNames,
                    mirrored);
        }
    }
}
