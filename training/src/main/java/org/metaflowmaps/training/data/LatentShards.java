package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Supplier;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
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
    static final String LATENTS = "latents";
    static final String MOMENTS = "moments";
    static final String MIRRORED = "_flip";
    static final String LABELS = "labels";

    /** The latents of one file, numbered from {@code first}; {@code mirrored} is empty if they are not used. */
    private record Part(Path file, MemorySegment latents, MemorySegment mirrored, int first) {}

    private final List<SafetensorsFile> files = new ArrayList<>();
    private final List<Part> parts = new ArrayList<>();
    private final ShardRequest request;
    private final LatentCode code;
    private final int[] labels;
    private final boolean hasMirrored;

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
        this(plain(folder, channels, classes, scale, onError));
    }

    /** Opens files. */
    LatentShards(ShardRequest request) throws IOException {
        this.request = request;
        List<Path> paths = request.paths();
        try {
            for (Path path : paths) {
                files.add(SafetensorsFile.open(path));
            }
            SafetensorsFile.Entry form = ShardFiles.entry(paths.getFirst(), files.getFirst(), request.tensor());
            this.code = checkedForm(paths.getFirst(), files.getFirst(), form);
            this.hasMirrored = files.stream().allMatch(file -> file.entries().containsKey(request.tensor() + MIRRORED));
            List<int[]> found = new ArrayList<>();
            int total = 0;
            for (int i = 0; i < paths.size(); i++) {
                Path path = paths.get(i);
                SafetensorsFile file = files.get(i);
                SafetensorsFile.Entry own = ShardFiles.entry(path, file, request.tensor());
                ShardFiles.checkLike(path, own, form, paths.getFirst());
                MemorySegment mirrored = MemorySegment.NULL;
                if (request.mirrored() && hasMirrored) {
                    SafetensorsFile.Entry other = ShardFiles.entry(path, file, request.tensor() + MIRRORED);
                    if (other.dtype() != own.dtype() || !other.shape().equals(own.shape())) {
                        throw new IOException(path + ": " + other.name() + " is " + other.dtype() + other.shape()
                                + ", expected " + own.dtype() + own.shape() + " as " + own.name());
                    }
                    mirrored = file.bytes(other.name());
                }
                int[] numbers = labels(path, file);
                parts.add(new Part(path, file.bytes(request.tensor()), mirrored, total));
                found.add(numbers);
                total = Math.addExact(total, numbers.length);
            }
            if (total == 0) {
                throw new IOException(request.folder() + ": its " + paths.size()
                        + " safetensors files hold no latents, expected at least 1");
            }
            this.labels = found.stream().flatMapToInt(Arrays::stream).toArray();
            requirePlausible();
        } catch (IOException | RuntimeException e) {
            files.forEach(SafetensorsFile::close);
            throw e;
        }
    }

    private static ShardRequest plain(Path folder, int channels, int classes, double scale, DataConfig.OnError onError)
            throws IOException {
        Preconditions.checkArgument(channels >= 1, "latents of %s channels, expected at least 1", channels);
        Preconditions.checkArgument(classes >= 1, "latents of %s classes, expected at least 1", classes);
        Preconditions.checkArgument(
                scale > 0 && scale < Double.POSITIVE_INFINITY,
                "latents are scaled by %s, expected a number above 0",
                scale);
        return new ShardRequest(
                folder,
                ShardFiles.paths(folder),
                LATENTS,
                null,
                channels,
                classes,
                List.of(),
                LatentScaling.of(scale, 0),
                false,
                onError == DataConfig.OnError.SKIP);
    }

    private LatentCode checkedForm(Path path, SafetensorsFile file, SafetensorsFile.Entry entry) throws IOException {
        DType type = entry.dtype();
        Shape shape = entry.shape();
        int channels = request.channels();
        LatentForm known = request.form();
        boolean typed = type == DType.FLOAT32 || type == DType.FLOAT16 || type == DType.BFLOAT16;
        boolean shaped = shape.dim() == 4 && shape.size(2) > 0 && shape.size(3) > 0;
        boolean single = shaped && shape.size(1) == channels && (known == null || !known.isDrawn());
        boolean twice = shaped && shape.size(1) == 2L * channels && (known == null || known.isDrawn());
        if (!typed || !(single || twice)) {
            throw new IOException(path + ": " + entry.name() + " are " + type + shape
                    + ", expected float32, float16 or bfloat16 of shape [N, "
                    + (known == null
                            ? channels + " or, for means and log variances, " + 2 * channels
                            : known.parts() * channels)
                    + ", H, W] (data.channels is " + channels
                    + ")");
        }
        LatentForm form = single ? LatentForm.SAMPLE : known != null ? known : ShardFiles.second(path, file);
        return new LatentCode(type, shape.from(1), form, request.scaling(), false, request.mirrored());
    }

    /** Throws if the first latent's log variances look like standard deviations, which no later error would show. */
    private void requirePlausible() throws IOException {
        if (request.form() != null || code.form() != LatentForm.MEAN_LOG_VARIANCE) {
            return;
        }
        Part part = parts.stream()
                .filter(each -> each.latents.byteSize() > 0)
                .findFirst()
                .orElseThrow();
        byte[] first = part.latents.asSlice(0, code.bytes()).toArray(ValueLayout.JAVA_BYTE);
        if (LatentFile.areDeviations(first, code)) {
            throw new IOException(part.file + ": the second half of its latents' channels are numbers from 0 to below 1"
                    + ", so they are probably standard deviations, not log variances: add the text "
                    + LatentManifest.FORM + " = " + LatentForm.MEAN_STD.label() + " to the metadata of each file");
        }
    }

    /** Returns the labels of a file's items; -1 for one out of range, if damaged items are skipped. */
    private int[] labels(Path path, SafetensorsFile file) throws IOException {
        long[] numbers = ShardFiles.numbers(path, file, request.tensor());
        int[] values = new int[numbers.length];
        for (int i = 0; i < values.length; i++) {
            boolean known = numbers[i] >= 0 && numbers[i] < request.classes();
            if (!known && !request.skip()) {
                throw new IOException(path + ": label " + i + " is " + numbers[i] + ", expected 0 to "
                        + (request.classes() - 1) + " (data.classes is " + request.classes() + ")");
            }
            values[i] = known ? (int) numbers[i] : -1;
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
        Part part = parts.get(low);
        int number = index - part.first;
        if (labels[index] < 0) {
            throw new DamagedItemException(
                    part.file + ": the label of latent " + number + " is out of range, expected 0 to "
                            + (request.classes() - 1)
                            + " (data.classes is " + request.classes() + "): repair or remove it");
        }
        copy(part, part.latents, number, row, 0);
        if (code.mirrored()) {
            copy(part, part.mirrored, number, row, 1);
        }
    }

    private void copy(Part part, MemorySegment latents, int number, MemorySegment row, int place)
            throws DamagedItemException {
        long size = code.bytes();
        byte[] bytes = latents.asSlice(number * size, size).toArray(ValueLayout.JAVA_BYTE);
        String problem = code.problem(bytes);
        if (problem != null) {
            throw new DamagedItemException(
                    part.file + ": latent " + number + " holds " + problem + ": repair or remove it");
        }
        row.asSlice(place * size, size).copyFrom(MemorySegment.ofArray(bytes));
    }

    @Override
    public String summary(int heldOut) {
        long present =
                Arrays.stream(labels).filter(label -> label >= 0).distinct().count();
        return labels.length + " latents of shape " + itemShape() + " in " + files.size()
                + (files.size() == 1 ? " file" : " files")
                + ", with " + present + " of " + request.classes() + " classes"
                + (heldOut == 0 ? "" : ", " + heldOut + " of them held out");
    }

    @Override
    public int count() {
        return labels.length;
    }

    @Override
    public Shape itemShape() {
        return code.itemShape();
    }

    @Override
    public int classes() {
        return request.classes();
    }

    @Override
    public List<String> classNames() {
        return request.classNames();
    }

    @Override
    public Optional<LatentScaling> latents() {
        return Optional.of(request.scaling());
    }

    @Override
    public int label(int index) {
        return labels[Objects.checkIndex(index, labels.length)];
    }

    @Override
    public DType storedType() {
        return code.type();
    }

    @Override
    public Shape storedShape() {
        return code.storedShape();
    }

    @Override
    public void requireMirrorable() {
        LatentFile.requireMirrored(request.mirrored() && hasMirrored);
    }

    @Override
    public Tensor mirrored(Tensor stored) {
        return code.flipped(stored);
    }

    @Override
    public Tensor decode(Tensor stored, Supplier<Tensor> noise) {
        return code.decode(stored, noise);
    }

    /** Unmaps the files. */
    @Override
    public void close() {
        files.forEach(SafetensorsFile::close);
    }
}
