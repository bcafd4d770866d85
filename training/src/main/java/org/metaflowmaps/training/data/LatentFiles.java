package org.metaflowmaps.training.data;

import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.stream.Stream;
import java.util.zip.ZipException;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.file.DamagedFileException;
import org.metaflowmaps.runtime.file.NpyArray;

/** Latents of an autoencoder with one file, or one entry of an archive, for each. */
final class LatentFiles implements Items {
    /** Reads the files; any thread may call it. */
    interface Source extends AutoCloseable {
        /** Returns the number of latents. */
        int count();

        /** Returns the name of a latent's file. */
        Path file(int index);

        /**
         * Reads a latent.
         *
         * @param mirrored true for that of the mirrored image
         */
        NpyArray read(int index, boolean mirrored) throws IOException;

        @Override
        default void close() {}
    }

    /**
     * What the files are.
     *
     * @param title the layout's name
     * @param form what the channels are
     * @param scaled true if the stored latents are scaled already
     * @param labels of the latents, any number for a damaged one
     * @param classes labels are below this
     * @param classNames names of the classes, or none
     * @param mirrored whether to read the latents of mirrored images too
     * @param hasMirrored whether the files hold them
     */
    @SuppressWarnings("ArrayRecordComponent") // not compared
    record Description(
            Path folder,
            String title,
            LatentForm form,
            LatentScaling scaling,
            boolean scaled,
            long[] labels,
            int classes,
            List<String> classNames,
            boolean mirrored,
            boolean hasMirrored) {}

    private final Source source;
    private final Description description;
    private final LatentCode code;
    private final int[] labels;

    /**
     * Opens the files; closes the source if this throws.
     *
     * @param skip whether a label out of range makes its latent a damaged item; otherwise this throws
     */
    LatentFiles(Source source, Description description, boolean skip) throws IOException {
        this.source = source;
        this.description = description;
        try {
            if (source.count() == 0) {
                throw new IOException(description.folder + ": " + description.title + ", but there are none");
            }
            this.labels = labels(skip);
            NpyArray first = source.read(0, false);
            Shape shape = item(first.shape());
            boolean typed =
                    first.dtype() == DType.FLOAT32 || first.dtype() == DType.FLOAT16 || first.dtype() == DType.BFLOAT16;
            if (!typed || shape.dim() != 3 || shape.numel() == 0 || shape.size(0) % description.form.parts() != 0) {
                throw new IOException(source.file(0) + ": the latent is " + first.dtype() + first.shape()
                        + ", expected float32, float16 or bfloat16 of shape ["
                        + (description.form.isDrawn() ? "2C" : "C") + ", H, W] in " + description.title);
            }
            this.code = new LatentCode(
                    first.dtype(),
                    shape,
                    description.form,
                    description.scaling,
                    description.scaled,
                    description.mirrored && description.hasMirrored);
            requirePlausible(first.data().toArray(ValueLayout.JAVA_BYTE));
        } catch (IOException | RuntimeException e) {
            source.close();
            throw e;
        }
    }

    /** Returns the entries of a folder, sorted, without hidden ones. */
    static List<Path> list(Path folder) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.filter(entry -> !entry.getFileName().toString().startsWith("."))
                    .sorted()
                    .toList();
        } catch (NotDirectoryException e) {
            throw new IOException(folder + " is not a folder, expected one with latents", e);
        }
    }

    /** Returns the entries of a folder whose names end so, sorted. */
    static List<Path> ending(Path folder, String ending) throws IOException {
        return list(folder).stream()
                .filter(file -> file.getFileName().toString().endsWith(ending))
                .toList();
    }

    /** Removes the leading dimension of one item. */
    private static Shape item(Shape shape) {
        return shape.dim() == 4 && shape.size(0) == 1 ? shape.from(1) : shape;
    }

    private int[] labels(boolean skip) throws IOException {
        int[] values = new int[source.count()];
        for (int i = 0; i < values.length; i++) {
            long label = description.labels[i];
            boolean known = label >= 0 && label < description.classes;
            if (!known && !skip) {
                throw new IOException(source.file(i) + " has label " + label + ", expected 0 to "
                        + (description.classes - 1) + " (data.classes is " + description.classes + ")");
            }
            values[i] = known ? (int) label : -1;
        }
        return values;
    }

    /** Throws if moments are probably those of another layout, which no later error would show. */
    private void requirePlausible(byte[] first) throws IOException {
        String problem = code.form() == LatentForm.MEAN_LOG_VARIANCE && LatentFile.areDeviations(first, code)
                ? "the second half of its channels are numbers from 0 to below 1, so they are probably standard"
                        + " deviations, expected log variances"
                : null;
        if (code.form() == LatentForm.MEAN_STD && code.problem(first) != null) {
            problem = "it holds " + code.problem(first);
        }
        if (problem != null) {
            throw new IOException(source.file(0) + " is not one of " + description.title + ": " + problem);
        }
    }

    @Override
    public void read(int index, MemorySegment row) throws IOException {
        Objects.checkIndex(index, labels.length);
        if (labels[index] < 0) {
            throw new DamagedItemException(source.file(index) + " has label " + description.labels[index]
                    + ", expected 0 to " + (description.classes - 1) + ": repair or remove it");
        }
        copy(index, false, row);
        if (code.mirrored()) {
            copy(index, true, row.asSlice(code.bytes()));
        }
    }

    private void copy(int index, boolean mirrored, MemorySegment row) throws IOException {
        NpyArray found;
        try {
            found = source.read(index, mirrored);
        } catch (DamagedFileException | NoSuchFileException | ZipException | EOFException e) {
            throw new DamagedItemException(
                    source.file(index) + " cannot be read (" + e.getMessage() + "): repair or remove it", e);
        }
        if (found.dtype() != code.type() || !item(found.shape()).equals(code.shape())) {
            throw new DamagedItemException(source.file(index) + ": the latent is " + found.dtype() + found.shape()
                    + ", that of " + source.file(0) + " is " + code.type() + code.shape() + ": repair or remove it");
        }
        byte[] bytes = found.data().toArray(ValueLayout.JAVA_BYTE);
        String problem = code.problem(bytes);
        if (problem != null) {
            throw new DamagedItemException(source.file(index) + " holds " + problem + ": repair or remove it");
        }
        row.asSlice(0, bytes.length).copyFrom(MemorySegment.ofArray(bytes));
    }

    @Override
    public String summary(int heldOut) {
        long present =
                Arrays.stream(labels).filter(label -> label >= 0).distinct().count();
        return labels.length + " latents of shape " + itemShape() + ", " + description.title + ", with " + present
                + " of " + description.classes + " classes"
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
        return description.classes;
    }

    @Override
    public List<String> classNames() {
        return description.classNames;
    }

    @Override
    public Optional<LatentScaling> latents() {
        return Optional.of(description.scaling);
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
        LatentFile.requireMirrored(code.mirrored());
    }

    @Override
    public Tensor mirrored(Tensor stored) {
        return code.flipped(stored);
    }

    @Override
    public Tensor decode(Tensor stored, Supplier<Tensor> noise) {
        return code.decode(stored, noise);
    }

    @Override
    public void close() {
        source.close();
    }
}
