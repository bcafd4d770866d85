package org.metaflowmaps.training.data;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.metaflowmaps.runtime.file.SafetensorsFile;

/** Looks through a folder of data, every item of it, and finds what training on it would stumble over. */
public final class DataCheck {
    private DataCheck() {}

    /**
     * What was found.
     *
     * @param kind the setting {@code data.kind} for such a folder
     * @param summary what it holds, in lines for people
     * @param problems one line for each damaged file or latent, in their order; at most as many as were asked for
     * @param damaged how many there are in all
     */
    public record Report(String kind, List<String> summary, List<String> problems, long damaged) {}

    /**
     * What kind of data a folder holds by its files' names and, of safetensors files, their tensors.
     *
     * @return the setting {@code data.kind}; empty if it looks like none
     * @throws IOException if the folder cannot be listed
     */
    public static Optional<String> kind(Path folder) throws IOException {
        if (IdxImages.present(folder)) {
            return Optional.of("idx");
        }
        boolean folders = false;
        try (Stream<Path> entries = Files.list(folder)) {
            for (Path entry : entries.filter(entry -> !entry.getFileName().toString().startsWith(".")).sorted().toList()) {
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
            return entries.anyMatch(entry -> ImageTree.isImage(entry.getFileName().toString()));
        }
    }

    /** A damaged one is taken for latents if it is alone in saying nothing. */
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
        String kind = kind(folder).orElseThrow(() -> new IOException(folder
                + " holds no data that is known: expected a subfolder of PNG or JPEG "
                + "files per class, .safetensors files with latents and labels, or train-images-idx3-ubyte and train-labels-idx1-ubyte"));
        return switch (kind) {
            case "images" -> images(folder, most);
            case "latents" -> latents(folder, most);
            default -> idx(folder);
        };
    }

    private static Report images(Path folder, int most) throws IOException {
        ImageTree tree = new ImageTree(folder);
        // In the order of the files, however many threads decode.
        List<String> problems = IntStream.range(0, tree.count()).parallel().mapToObj(index -> problem(tree.file(index)))
                .flatMap(Optional::stream).toList();
        return new Report("images", List.of(tree.summary(0)), problems.subList(0, Math.min(most, problems.size())), problems.size());
    }

    private static Optional<String> problem(Path file) {
        try {
            ImageFile.read(file, 1);
            return Optional.empty();
        } catch (IOException | OutOfMemoryError e) {
            return Optional.of(String.valueOf(e.getMessage()));
        }
    }

    private static Report latents(Path folder, int most) throws IOException {
        List<String> problems = new ArrayList<>();
        List<String> summary = new ArrayList<>();
        long damaged = 0;
        long count = 0;
        int files = 0;
        for (Path file : LatentShards.paths(folder)) {
            files++;
            try {
                LatentFile.Found found = LatentFile.check(file, most - problems.size());
                if (summary.isEmpty()) {
                    summary.add(found.form());
                } else if (!found.form().equals(summary.getFirst())) {
                    throw new IOException(file + ": latents are " + found.form() + ", those of the first file are " + summary.getFirst()
                            + ": only the number of latents may differ between the files of a folder");
                }
                count += found.count();
                damaged += found.damaged();
                problems.addAll(found.problems());
            } catch (IOException e) {
                damaged++;
                if (problems.size() < most) {
                    problems.add(String.valueOf(e.getMessage()));
                }
            }
        }
        String forms = summary.isEmpty() ? "" : " of " + summary.getFirst();
        return new Report("latents", List.of(folder + ": " + count + " latents" + forms + " in " + files + (files == 1 ? " file"
                : " files")),
                problems, damaged);
    }

    private static Report idx(Path folder) throws IOException {
        try {
            LabelledImages images = IdxImages.train(folder, Byte.MAX_VALUE);
            long[] sizes = new long[Byte.MAX_VALUE];
            for (int i = 0; i < images.count(); i++) {
                sizes[images.label(i)]++;
            }
            int classes = 1 + IntStream.range(0, sizes.length).filter(label -> sizes[label] > 0).max().orElse(0);
            return new Report("idx", List.of(folder + ": " + images.count() + " images of " + images.height() + " x " + images.width()
                    + ", labels 0 to " + (classes - 1) + " (" + Arrays.stream(sizes).limit(classes).filter(size -> size > 0).count()
                            + " of them used)"),
                    List.of(), 0);
        } catch (IdxException e) {
            return new Report("idx", List.of(folder + ": IDX files"), List.of(String.valueOf(e.getMessage())), 1);
        }
    }
}
