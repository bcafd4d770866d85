package org.metaflowmaps.training.data;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.metaflowmaps.runtime.file.NpyArray;

/** Latents in {@code .npy} files, such as those of fast-DiT. */
record NpyLatents(List<Path> files) implements LatentFiles.Source {
    static final String ENDING = ".npy";
    private static final String FEATURES = "_features";
    private static final String LABELS = "_labels";

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
        return NpyArray.of(files.get(index), Files.readAllBytes(files.get(index)));
    }

    /** Returns fast-DiT's folders of features and of labels. */
    static Optional<Map.Entry<Path, Path>> fastDit(List<Path> entries) {
        for (Path entry : entries) {
            String name = entry.getFileName().toString();
            if (name.endsWith(FEATURES) && Files.isDirectory(entry)) {
                Path labels = entry.resolveSibling(name.substring(0, name.length() - FEATURES.length()) + LABELS);
                if (Files.isDirectory(labels)) {
                    return Optional.of(Map.entry(entry, labels));
                }
            }
        }
        return Optional.empty();
    }

    /** Opens fast-DiT's folders; their features are scaled already. */
    static Items openFastDit(LatentWish wish) throws IOException {
        Map.Entry<Path, Path> folders = fastDit(LatentFiles.list(wish.folder())).orElseThrow();
        Double scale = wish.scale();
        if (scale != null && scale != LatentWish.DEFAULT_SCALE) {
            throw new IOException(
                    wish.folder() + ": data.scale is " + scale + ", but features of fast-DiT are multiplied" + " by "
                            + LatentWish.DEFAULT_SCALE + " already: set it to that, or to null");
        }
        List<Path> features = LatentFiles.ending(folders.getKey(), ENDING);
        List<Path> labels = LatentFiles.ending(folders.getValue(), ENDING);
        // fast-DiT pairs them by the order of their names, so other names would shift all labels.
        if (!names(features).equals(names(labels))) {
            throw new IOException(folders.getKey() + " has " + features.size() + " features, " + folders.getValue()
                    + " " + labels.size() + " labels, or other names: expected a label of the same name for each"
                    + " feature");
        }
        long[] values = LatentLabels.read(features.size(), index -> {
            NpyArray label = NpyArray.of(labels.get(index), Files.readAllBytes(labels.get(index)));
            return LatentLabels.of(labels.get(index), label.dtype(), label.data());
        });
        return wish.open(
                LatentCaches.Layout.FAST_DIT, new NpyLatents(features), LatentForm.SAMPLE, values, List.of(), false);
    }

    private static List<String> names(List<Path> files) {
        return files.stream().map(file -> file.getFileName().toString()).toList();
    }
}
