package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.SafetensorsFile;

/**
 * Latents of an autoencoder from safetensors files, scaled.
 *
 * <p>Each file holds {@code latents} (N, C, H, W) in float16, bfloat16 or float32, and {@code labels} (N) in int64; N
 * may differ between files. If the latents have twice the wanted channels, the first half are means and the second half
 * log variances of a diagonal Gaussian (latent diffusion's {@code DiagonalGaussianDistribution}, arXiv 2112.10752). An
 * item is then scale · (mean + exp(½ · log variance) · ε), with log variances clamped to [-30, 20]. ε depends on the
 * seed, the batch's position in the loader's stream and the batch size. Files are memory-mapped and read shortly before
 * an item is needed.
 */
public final class LatentShards implements Items {
    private static final String LATENTS = "latents";
    private static final String LABELS = "labels";

    private static final double LEAST_LOG_VARIANCE = -30;
    private static final double MOST_LOG_VARIANCE = 20;
    private static final ValueLayout.OfLong LABEL = ValueLayout.JAVA_LONG_UNALIGNED;

    /** The latents of one file, numbered from {@code first}. */
    private record Part(Path file, MemorySegment latents, int first) {}

    private final List<SafetensorsFile> files = new ArrayList<>();
    private final List<Part> parts = new ArrayList<>();
    private final Shape shape;
    private final DType type;
    private final int[] labels;
    private final int channels;
    private final int classes;
    private final double scale;

    /**
     * All latents of a folder's files.
     *
     * @param folder holds files that end in .safetensors, read in the order of their names; hidden files are skipped
     * @param channels channels of an item; the files have as many, or twice as many for means and log variances
     * @param classes labels are from 0 to below this
     * @param scale the factor of latents, usually so that their standard deviation is about 1
     * @throws IOException if a file cannot be read or does not match this description
     */
    public LatentShards(Path folder, int channels, int classes, double scale) throws IOException {
        this(folder, channels, classes, scale, DataConfig.OnError.STOP);
    }

    /**
     * All latents of a folder's files.
     *
     * @param onError whether a label out of range throws here, or makes its latent a damaged item
     */
    public LatentShards(Path folder, int channels, int classes, double scale, DataConfig.OnError onError)
            throws IOException {
        Preconditions.checkArgument(channels >= 1, "latents of %s channels, expected at least 1", channels);
        Preconditions.checkArgument(classes >= 1, "latents of %s classes, expected at least 1", classes);
        Preconditions.checkArgument(
                scale > 0 && scale < Double.POSITIVE_INFINITY,
                "latents are scaled by %s, expected a number above 0",
                scale);
        this.channels = channels;
        this.classes = classes;
        this.scale = scale;
        try {
            List<Path> paths = paths(folder);
            for (Path path : paths) {
                files.add(SafetensorsFile.open(path));
            }
            SafetensorsFile.Entry form = entry(paths.getFirst(), files.getFirst(), LATENTS);
            this.type = form.dtype();
            this.shape = form.shape();
            checkForm(paths.getFirst(), form);
            List<int[]> found = new ArrayList<>();
            int total = 0;
            for (int i = 0; i < paths.size(); i++) {
                checkLike(paths.get(i), entry(paths.get(i), files.get(i), LATENTS), form, paths.getFirst());
                int[] own = labels(paths.get(i), files.get(i), onError == DataConfig.OnError.SKIP);
                parts.add(new Part(paths.get(i), files.get(i).bytes(LATENTS), total));
                found.add(own);
                total = Math.addExact(total, own.length);
            }
            if (total == 0) {
                throw new IOException(
                        folder + ": its " + paths.size() + " safetensors files hold no latents, expected at least 1");
            }
            this.labels = found.stream().flatMapToInt(Arrays::stream).toArray();
        } catch (IOException | RuntimeException e) {
            files.forEach(SafetensorsFile::close);
            throw e;
        }
    }

    /** Opens the files of a configuration. */
    static LatentShards open(DataConfig config) throws IOException {
        return new LatentShards(config.path(), config.channels(), config.classes(), config.scale(), config.onError());
    }

    static List<Path> paths(Path folder) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            List<Path> paths = entries.filter(LatentShards::isShard).sorted().toList();
            if (paths.isEmpty()) {
                throw new IOException(folder + " holds no .safetensors file, expected some with latents and labels");
            }
            return paths;
        } catch (NotDirectoryException e) {
            throw new IOException(folder + " is not a folder, expected one with .safetensors files", e);
        }
    }

    private static boolean isShard(Path file) {
        String name = file.getFileName().toString();
        return name.endsWith(".safetensors") && !name.startsWith(".") && Files.isRegularFile(file);
    }

    private static SafetensorsFile.Entry entry(Path path, SafetensorsFile file, String name) throws IOException {
        SafetensorsFile.Entry entry = file.entries().get(name);
        if (entry == null) {
            throw new IOException(path + " has no tensor '" + name + "' among "
                    + file.entries().keySet() + ": expected latents (N, C, H, W) and labels (N)");
        }
        return entry;
    }

    private void checkForm(Path path, SafetensorsFile.Entry form) throws IOException {
        boolean typed = type == DType.FLOAT32 || type == DType.FLOAT16 || type == DType.BFLOAT16;
        boolean shaped = shape.dim() == 4
                && (shape.size(1) == channels || shape.size(1) == 2L * channels)
                && shape.size(2) > 0
                && shape.size(3) > 0;
        if (!typed || !shaped) {
            throw new IOException(path + ": latents are " + type + form.shape()
                    + ", expected float32, float16 or bfloat16 of shape [N, " + channels
                    + " or, for means and log variances, "
                    + 2 * channels + ", H, W] (data.channels is " + channels
                    + ")");
        }
    }

    private static void checkLike(Path path, SafetensorsFile.Entry entry, SafetensorsFile.Entry form, Path of)
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

    /** Returns the labels of a file's items; -1 for one out of range, if damaged items are skipped. */
    private int[] labels(Path path, SafetensorsFile file, boolean skip) throws IOException {
        SafetensorsFile.Entry entry = entry(path, file, LABELS);
        Shape count = Shape.of(entry(path, file, LATENTS).shape().size(0));
        if (entry.dtype() != DType.INT64 || !entry.shape().equals(count)) {
            throw new IOException(path + ": labels are " + entry.dtype() + entry.shape() + ", expected int64" + count
                    + ", one for each of the latents");
        }
        MemorySegment bytes = file.bytes(LABELS);
        int[] values = new int[Math.toIntExact(count.numel())];
        for (int i = 0; i < values.length; i++) {
            long label = bytes.get(LABEL, (long) i * Long.BYTES);
            boolean known = label >= 0 && label < classes;
            if (!known && !skip) {
                throw new IOException(path + ": label " + i + " is " + label + ", expected 0 to " + (classes - 1)
                        + " (data.classes is " + classes + ")");
            }
            values[i] = known ? (int) label : -1;
        }
        return values;
    }

    /** Reads one item from its file; throws if a number is not finite or its label is out of range. */
    @Override
    public void read(int index, MemorySegment row) throws DamagedItemException {
        Objects.checkIndex(index, labels.length);
        int low = 0;
        for (int high = parts.size() - 1; low < high; ) {
            int middle = (low + high + 1) / 2;
            if (parts.get(middle).first <= index) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        long size = shape.size(1) * shape.size(2) * shape.size(3) * type.bytes();
        Part part = parts.get(low);
        byte[] bytes = part.latents.asSlice((index - part.first) * size, size).toArray(ValueLayout.JAVA_BYTE);
        int number = index - part.first;
        if (labels[index] < 0) {
            throw new DamagedItemException(
                    part.file + ": the label of latent " + number + " is out of range, expected 0 to "
                            + (classes - 1)
                            + " (data.classes is " + classes + "): repair or remove it");
        }
        int bad = LatentFile.firstBad(bytes, type, channels * shape.size(2) * shape.size(3));
        if (bad >= 0) {
            throw new DamagedItemException(part.file + ": latent " + number + " holds "
                    + LatentFile.value(bytes, bad, type) + ", expected finite numbers: repair or remove it");
        }
        row.copyFrom(MemorySegment.ofArray(bytes));
    }

    @Override
    public String summary(int heldOut) {
        long present =
                Arrays.stream(labels).filter(label -> label >= 0).distinct().count();
        return labels.length + " latents of shape " + itemShape() + " in " + files.size()
                + (files.size() == 1 ? " file" : " files")
                + ", with " + present + " of " + classes + " classes"
                + (heldOut == 0 ? "" : ", " + heldOut + " of them held out");
    }

    @Override
    public int count() {
        return labels.length;
    }

    @Override
    public Shape itemShape() {
        return Shape.of(channels, shape.size(2), shape.size(3));
    }

    @Override
    public int classes() {
        return classes;
    }

    @Override
    public int label(int index) {
        return labels[Objects.checkIndex(index, labels.length)];
    }

    @Override
    public DType storedType() {
        return type;
    }

    @Override
    public Shape storedShape() {
        return shape.from(1);
    }

    @Override
    public void requireMirrorable() {
        throw new IllegalArgumentException(
                "latents cannot be mirrored, because a mirrored image has a different latent: expected flip false");
    }

    @Override
    public Tensor decode(Tensor stored, Supplier<Tensor> noise) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor values = stored.to(DType.FLOAT32);
            Tensor latents = shape.size(1) == channels ? values : drawn(values, noise);
            return scope.keep(latents.mul(scale));
        }
    }

    private Tensor drawn(Tensor moments, Supplier<Tensor> noise) {
        Tensor mean = moments.narrow(1, 0, channels);
        Tensor logVariance = moments.narrow(1, channels, channels)
                .clampMin(LEAST_LOG_VARIANCE)
                .clampMax(MOST_LOG_VARIANCE);
        return Torch.addcmul(mean, logVariance.mul(0.5).exp(), noise.get());
    }

    /** Unmaps the files. */
    @Override
    public void close() {
        files.forEach(SafetensorsFile::close);
    }
}
