package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.zip.CRC32;
import org.metaflowmaps.models.vision.image.ByteImage;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.Workers;
import org.metaflowmaps.training.data.ImageFiles;

/** The PNG and JPEG files of a folder and its subfolders. */
final class FolderImages implements ImageSource {
    private final Path folder;
    private final List<Path> files;
    private int at;

    FolderImages(Path folder) throws IOException {
        this.folder = folder;
        this.files = ImageFiles.list(folder);
    }

    @Override
    public String name() {
        return folder + ": " + files.size() + " files";
    }

    /** Contents count by size and time, because reading them all would take as long as decoding. */
    @Override
    public String identity() throws IOException {
        CRC32 sum = new CRC32();
        for (Path file : files) {
            String line = folder.relativize(file) + " " + Files.size(file) + " "
                    + Files.getLastModifiedTime(file).toMillis() + "\n";
            sum.update(line.getBytes(StandardCharsets.UTF_8));
        }
        return String.format(Locale.ROOT, "folder of %d files, %08x", files.size(), sum.getValue());
    }

    @Override
    public String quantisation() {
        return "8-bit files, transparency dropped, grey repeated";
    }

    @Override
    public List<String> notes() {
        List<String> notes = new ArrayList<>();
        long lossy = files.stream()
                .filter(file -> !file.toString().toLowerCase(Locale.ROOT).endsWith(".png"))
                .count();
        if (lossy > 0) {
            notes.add(lossy + " of " + files.size() + " files of " + folder
                    + " are JPEG, whose losses change FID: save samples as PNG or .npz");
        }
        if (files.stream().anyMatch(file -> !Objects.equals(file.getParent(), folder))) {
            notes.add(
                    folder + " has subfolders; images come in the order of their paths, so the groups of the Inception"
                            + " score do not hold all subfolders alike");
        }
        return notes;
    }

    @Override
    public long count() {
        return files.size();
    }

    @Override
    public List<Tensor> next(int most) throws IOException {
        int size = Math.min(most, files.size() - at);
        ByteImage[] images = decoded(size);
        List<Tensor> runs = new ArrayList<>();
        for (int from = 0; from < size; ) {
            int to = from + 1;
            while (to < size
                    && images[to].height() == images[from].height()
                    && images[to].width() == images[from].width()) {
                to++;
            }
            try (TensorScope scope = TensorScope.open()) {
                Tensor[] run = new Tensor[to - from];
                for (int i = from; i < to; i++) {
                    run[i - from] = images[i].tensor();
                }
                runs.add(scope.keep(Torch.stack(0, run)));
            }
            from = to;
        }
        at += size;
        return runs;
    }

    private ByteImage[] decoded(int size) throws IOException {
        ByteImage[] images = new ByteImage[size];
        int threads = Workers.count();
        List<Runnable> tasks = new ArrayList<>();
        for (int thread = 0; thread < Math.min(threads, size); thread++) {
            int first = thread;
            tasks.add(() -> {
                for (int i = first; i < size; i += threads) {
                    try {
                        images[i] = ImageFiles.read(files.get(at + i));
                    } catch (IOException e) {
                        throw new UncheckedIOException(e);
                    }
                }
            });
        }
        try {
            Workers.run(tasks);
        } catch (UncheckedIOException e) {
            throw Objects.requireNonNull(e.getCause());
        }
        return images;
    }

    @Override
    public void skip(int images) {
        at += images;
    }

    @Override
    public void close() {
        // Files are closed after each image.
    }
}
