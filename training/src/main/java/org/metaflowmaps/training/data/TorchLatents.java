package org.metaflowmaps.training.data;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;
import org.metaflowmaps.runtime.file.NpyArray;
import org.metaflowmaps.runtime.file.PyTorchFile;

/** MeanFlow's numbered files of torch.save, each with {@code image} and {@code label}. */
record TorchLatents(List<Path> files) implements LatentFiles.Source {
    private static final Pattern NUMBERED = Pattern.compile("\\d+\\.pt");
    private static final String IMAGE = "image";
    private static final String LABEL = "label";

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
        String name = mirrored ? IMAGE + LatentShards.MIRRORED : IMAGE;
        try (PyTorchFile open = PyTorchFile.open(files.get(index))) {
            PyTorchFile.Entry entry = open.entries().get(name);
            if (entry == null) {
                throw new DamagedItemException(files.get(index) + " has no tensor '" + name + "'");
            }
            byte[] bytes = open.bytes(name).toArray(ValueLayout.JAVA_BYTE);
            return new NpyArray(entry.dtype(), entry.shape(), MemorySegment.ofArray(bytes));
        } catch (IllegalArgumentException e) {
            throw new DamagedItemException(String.valueOf(e.getMessage()), e);
        }
    }

    /** Returns the folder with the files. */
    static Optional<Path> find(Path folder) throws IOException {
        for (Path candidate : List.of(folder, folder.resolve("train"))) {
            if (Files.isDirectory(candidate) && !numbered(candidate).isEmpty()) {
                return Optional.of(candidate);
            }
        }
        return Optional.empty();
    }

    private static List<Path> numbered(Path folder) throws IOException {
        return LatentFiles.list(folder).stream()
                .filter(file -> NUMBERED.matcher(file.getFileName().toString()).matches())
                .toList();
    }

    static Items open(LatentWish wish) throws IOException {
        List<Path> files = numbered(find(wish.folder()).orElseThrow());
        boolean mirrored;
        try (PyTorchFile first = PyTorchFile.open(files.getFirst())) {
            mirrored = first.entries().containsKey(IMAGE + LatentShards.MIRRORED);
        }
        long[] labels = LatentLabels.read(files.size(), index -> label(files.get(index)));
        return wish.open(
                LatentCaches.Layout.MEAN_FLOW,
                new TorchLatents(files),
                LatentForm.MEAN_STD,
                labels,
                List.of(),
                mirrored);
    }

    /** A label is a Python number or a tensor of one number. */
    private static long label(Path file) throws IOException {
        try (PyTorchFile open = PyTorchFile.open(file)) {
            PyTorchFile.Entry entry = open.entries().get(LABEL);
            return entry != null
                    ? LatentLabels.of(file, entry.dtype(), open.bytes(LABEL))
                    : Long.parseLong(open.metadata().getOrDefault(LABEL, ""));
        } catch (IllegalArgumentException e) {
            throw new IOException(file + " has no label that is a whole number", e);
        }
    }
}
