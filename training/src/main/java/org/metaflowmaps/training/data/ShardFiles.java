package org.metaflowmaps.training.data;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.file.SafetensorsFile;

/** Finds safetensors files of latents, and reads their labels, shapes and metadata. */
final class ShardFiles {
    private static final ValueLayout.OfLong LABEL = ValueLayout.JAVA_LONG_UNALIGNED;

    private ShardFiles() {}

    static List<Path> paths(Path folder) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            List<Path> paths = entries.filter(ShardFiles::isShard).sorted().toList();
            if (paths.isEmpty()) {
                throw new IOException(folder + " holds no .safetensors file, expected some with latents and labels");
            }
            return paths;
        } catch (NotDirectoryException e) {
            throw new IOException(folder + " is not a folder, expected one with .safetensors files", e);
        }
    }

    static boolean isShard(Path file) {
        String name = file.getFileName().toString();
        return name.endsWith(".safetensors") && !name.startsWith(".") && Files.isRegularFile(file);
    }

    static SafetensorsFile.Entry entry(Path path, SafetensorsFile file, String name) throws IOException {
        SafetensorsFile.Entry entry = file.entries().get(name);
        if (entry == null) {
            throw new IOException(path + " has no tensor '" + name + "' among "
                    + file.entries().keySet() + ": expected latents (N, C, H, W) and labels (N)");
        }
        return entry;
    }

    /** Returns what the second half of the channels is: log variances, unless the file's metadata name another form. */
    static LatentForm second(Path path, SafetensorsFile file) throws IOException {
        String named = file.metadata().get(LatentManifest.FORM);
        if (named == null) {
            return LatentForm.MEAN_LOG_VARIANCE;
        }
        try {
            return LatentForm.named(named);
        } catch (IllegalArgumentException e) {
            throw new IOException(path + ": metadata '" + LatentManifest.FORM + "': " + e.getMessage(), e);
        }
    }

    static void checkLike(Path path, SafetensorsFile.Entry entry, SafetensorsFile.Entry form, Path of)
            throws IOException {
        Shape shape = entry.shape();
        if (entry.dtype() != form.dtype()
                || shape.dim() != 4
                || !shape.from(1).equals(form.shape().from(1))) {
            throw new IOException(path + ": latents are " + entry.dtype() + shape + ", those of " + of.getFileName()
                    + " are " + form.dtype() + form.shape()
                    + ": only the number of latents may differ between the files of a folder");
        }
    }

    /** Returns a file's labels as they are. */
    static long[] numbers(Path path, SafetensorsFile file, String tensor) throws IOException {
        SafetensorsFile.Entry entry = entry(path, file, LatentShards.LABELS);
        SafetensorsFile.Entry latents = entry(path, file, tensor);
        Shape count = latents.shape().dim() == 0
                ? Shape.of()
                : Shape.of(latents.shape().size(0));
        if (entry.dtype() != DType.INT64 || !entry.shape().equals(count)) {
            throw new IOException(path + ": labels are " + entry.dtype() + entry.shape() + ", expected int64" + count
                    + ", one for each of the latents");
        }
        MemorySegment bytes = file.bytes(LatentShards.LABELS);
        long[] values = new long[Math.toIntExact(count.numel())];
        for (int i = 0; i < values.length; i++) {
            values[i] = bytes.get(LABEL, (long) i * Long.BYTES);
        }
        return values;
    }
}
