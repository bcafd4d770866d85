package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.file.SafetensorsFile;

/** Reads every item of a folder of data and reports items that training cannot use. */
public final class DataCheck {
    private DataCheck() {}

    /**
     * The result of a check.
     *
     * @param kind the setting {@code data.kind} for such a folder
     * @param summary the folder's contents, in lines for the user
     * @param problems one line for each damaged file or latent, in order; at most the requested number
     * @param damaged the number of damaged files or latents
     */
    public record Report(String kind, List<String> summary, List<String> problems, long damaged) {}

    /**
     * Settings that decide whether an item is damaged. Without a setting, items that are unusable only because of it
     * are not counted.
     *
     * @param channels {@code data.channels}, at least 1; null if unknown
     * @param classes {@code data.classes}, at least 1; null if unknown
     */
    public record Expected(
            @Nullable Integer channels, @Nullable Integer classes) {
        /** No settings known. */
        public static final Expected NONE = new Expected(null, null);

        /** Checks the ranges. */
        public Expected {
            Preconditions.checkArgument(
                    channels == null || channels >= 1, "data.channels is %s, expected at least 1", channels);
            Preconditions.checkArgument(
                    classes == null || classes >= 1, "data.classes is %s, expected at least 1", classes);
        }
    }

    /**
     * Detects the kind of a folder's data by file names and the tensors of safetensors files.
     *
     * @return the setting {@code data.kind}; empty if unknown
     * @throws IOException if the folder cannot be listed
     */
    public static Optional<String> kind(Path folder) throws IOException {
        if (IdxImages.present(folder)) {
            return Optional.of("idx");
        }
        Optional<LatentCaches.Layout> layout = LatentCaches.layout(folder);
        if (layout.isPresent() && layout.get() != LatentCaches.Layout.SHARDS) {
            return Optional.of("latents");
        }
        if (!Files.isDirectory(folder)) {
            return Optional.empty();
        }
        boolean folders = false;
        try (Stream<Path> entries = Files.list(folder)) {
            for (Path entry : entries.filter(
                            entry -> !entry.getFileName().toString().startsWith("."))
                    .sorted()
                    .toList()) {
                if (entry.getFileName().toString().endsWith(".safetensors") && Files.isRegularFile(entry)) {
                    return holdsLatents(entry) ? Optional.of("latents") : Optional.empty();
                }
                folders |= Files.isDirectory(entry) && holdsImages(entry);
            }
        }
        return folders ? Optional.of("images") : Optional.empty();
    }

    private static boolean holdsImages(Path folder) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.anyMatch(
                    entry -> ImageTree.isImage(entry.getFileName().toString()));
        }
    }

    /** Returns false for a damaged file. */
    @SuppressWarnings("UnusedException")
    private static boolean holdsLatents(Path file) {
        try (SafetensorsFile open = SafetensorsFile.open(file)) {
            return open.entries().containsKey("latents");
        } catch (IOException e) {
            return false;
        }
    }

    /**
     * Reads every item.
     *
     * @param folder of a {@linkplain #kind known kind}
     * @param most problems to list
     * @throws IOException if the folder cannot be listed, or is not such a folder as a whole
     */
    public static Report of(Path folder, int most) throws IOException {
        return of(folder, most, Expected.NONE);
    }

    /**
     * Reads every item, and finds those that training with these settings cannot use.
     *
     * @param folder of a {@linkplain #kind known kind}
     * @param most problems to list
     * @throws IOException if the folder cannot be listed, or is not such a folder as a whole
     */
    public static Report of(Path folder, int most, Expected expected) throws IOException {
        String kind = kind(folder)
                .orElseThrow(() -> new IOException(folder
                        + " holds no known kind of data: expected a subfolder of PNG or JPEG files per"
                        + " class, .safetensors files with latents and labels, or"
                        + " train-images-idx3-ubyte and train-labels-idx1-ubyte"));
        return switch (kind) {
            case "images" -> images(folder, most);
            case "latents" ->
                LatentCaches.layout(folder).orElseThrow() == LatentCaches.Layout.SHARDS
                        ? latents(folder, most, expected)
                        : LatentCheck.of(folder, most, expected);
            default -> idx(folder, expected);
        };
    }

    private static Report images(Path folder, int most) throws IOException {
        ImageTree tree = new ImageTree(folder);
        // Results are in the order of the files for any number of threads.
        List<String> problems = IntStream.range(0, tree.count())
                .parallel()
                .mapToObj(index -> problem(tree.file(index)))
                .flatMap(Optional::stream)
                .toList();
        return new Report(
                "images",
                List.of(tree.summary(0)),
                problems.subList(0, Math.min(most, problems.size())),
                problems.size());
    }

    private static Optional<String> problem(Path file) {
        try {
            ImageFile.read(file, 1);
            return Optional.empty();
        } catch (IOException | OutOfMemoryError e) {
            return Optional.of(String.valueOf(e.getMessage()));
        }
    }

    private static Report latents(Path folder, int most, Expected expected) throws IOException {
        List<String> problems = new ArrayList<>();
        List<String> summary = new ArrayList<>();
        long damaged = 0;
        long count = 0;
        long infinite = 0;
        int files = 0;
        for (Path file : ShardFiles.paths(folder)) {
            files++;
            try {
                LatentFile.Found found = LatentFile.check(file, most - problems.size(), expected);
                if (summary.isEmpty()) {
                    summary.add(found.form());
                } else if (!found.form().equals(summary.getFirst())) {
                    throw new IOException(file + ": latents are " + found.form() + ", those of the first file are "
                            + summary.getFirst()
                            + ": only the number of latents may differ between the files of a folder");
                }
                count += found.count();
                damaged += found.damaged();
                infinite += found.infinite();
                problems.addAll(found.problems());
            } catch (IOException e) {
                damaged++;
                if (problems.size() < most) {
                    problems.add(String.valueOf(e.getMessage()));
                }
            }
        }
        if (damaged == 0 && count == 0) {
            damaged++;
            problems.add(folder + ": its " + files + " safetensors files hold no latents, expected at least 1");
        }
        List<String> lines = new ArrayList<>();
        lines.add(folder + ": " + count + " latents" + (summary.isEmpty() ? "" : " of " + summary.getFirst()) + " in "
                + files + (files == 1 ? " file" : " files"));
        if (infinite > 0) {
            lines.add(infinite
                    + " latents hold infinite numbers in the second half of their channels. Training accepts them only"
                    + " as log variances: check with the configuration's data.channels (mfm inspect --channels)");
        }
        return new Report("latents", lines, problems.subList(0, Math.min(most, problems.size())), damaged);
    }

    private static Report idx(Path folder, Expected expected) throws IOException {
        try {
            Integer known = expected.classes();
            LabelledImages images = IdxImages.train(folder, known == null ? Byte.MAX_VALUE : known);
            long[] sizes = new long[Byte.MAX_VALUE];
            for (int i = 0; i < images.count(); i++) {
                sizes[images.label(i)]++;
            }
            int classes = 1
                    + IntStream.range(0, sizes.length)
                            .filter(label -> sizes[label] > 0)
                            .max()
                            .orElse(0);
            return new Report(
                    "idx",
                    List.of(folder + ": " + images.count() + " images of " + images.height() + " x " + images.width()
                            + ", labels 0 to " + (classes - 1) + " ("
                            + Arrays.stream(sizes)
                                    .limit(classes)
                                    .filter(size -> size > 0)
                                    .count()
                            + " of them used)"),
                    List.of(),
                    0);
        } catch (IdxException e) {
            return new Report("idx", List.of(folder + ": IDX files"), List.of(String.valueOf(e.getMessage())), 1);
        }
    }
}
