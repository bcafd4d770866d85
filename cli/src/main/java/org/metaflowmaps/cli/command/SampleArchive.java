package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.NpzArray;
import org.metaflowmaps.runtime.file.NpzFile;
import org.metaflowmaps.runtime.file.NpzWriter;
import org.metaflowmaps.steering.metric.GaussianStatistics;
import org.metaflowmaps.steering.reward.Decoder;

/** Samples in a file as public evaluators have them: {@code arr_0} uint8 (N, H, W, C), {@code arr_1} labels. */
final class SampleArchive {
    static final String IMAGES = "arr_0";
    /** The end of the names of statistics for sFID. */
    static final String SPATIAL = "_s";

    private static final String LABELS = "arr_1";
    private static final String MEAN = "mu";
    private static final String COVARIANCE = "sigma";
    private static final double LEVELS = 255;
    private static final int CHUNK = 250;

    private final NpzWriter writer;
    private final Decoder decoder;
    private final Quantisation quantisation;
    private final List<Long> labels = new ArrayList<>();

    private SampleArchive(NpzWriter writer, Decoder decoder, Quantisation quantisation) {
        this.writer = writer;
        this.decoder = decoder;
        this.quantisation = quantisation;
    }

    /** Draws samples, and adds each batch. */
    @FunctionalInterface
    interface Drawing {
        /** Draws all samples into the archive. */
        void into(SampleArchive archive) throws IOException;
    }

    /** Throws unless a map has images, which latents are not. */
    static void requireImages(MetaFlowMap map, String name) {
        Shape item = map.itemShape();
        if (item.dim() != 3 || (item.size(0) != 1 && item.size(0) != 3)) {
            throw new IllegalArgumentException(name + " draws items of shape " + item
                    + ", expected images of 1 or 3 channels: give the autoencoder of latents by --vae FILE");
        }
    }

    /** Receives a batch: images (B, C, H, W) in [0, 1], and their labels. */
    @FunctionalInterface
    interface Sink {
        void take(Tensor images, Optional<Tensor> labels);
    }

    /**
     * Writes samples while they are drawn.
     *
     * @param image (C, H, W) of decoded samples
     * @param count the number of samples
     * @param decoder of samples to images in [0, 1]
     */
    static void write(Path file, Shape image, long count, Decoder decoder, Quantisation quantisation, Drawing drawing)
            throws IOException {
        NpzWriter.write(file, writer -> {
            SampleArchive archive = new SampleArchive(writer, decoder, quantisation);
            writer.begin(IMAGES, DType.UINT8, Shape.of(count, image.size(1), image.size(2), image.size(0)));
            try {
                drawing.into(archive);
            } catch (UncheckedIOException e) {
                throw Objects.requireNonNull(e.getCause());
            }
            if (!archive.labels.isEmpty()) {
                try (TensorScope scope = TensorScope.open()) {
                    writer.array(
                            LABELS,
                            Torch.of(archive.labels.stream()
                                    .mapToLong(Long::longValue)
                                    .toArray()));
                }
            }
        });
    }

    /** Adds samples of the map; an {@link IOException} is unchecked here. */
    void add(Tensor samples, @Nullable Tensor classes) {
        try (TensorScope scope = TensorScope.open()) {
            writer.rows(levels(samples, decoder, quantisation).permute(0, 2, 3, 1));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        if (classes != null) {
            for (long label : classes.toLongArray()) {
                labels.add(label);
            }
        }
    }

    /**
     * Decodes samples and converts them to uint8, in the innermost open scope.
     *
     * @throws IllegalStateException for NaN, which would become some level
     */
    static Tensor levels(Tensor samples, Decoder decoder, Quantisation quantisation) {
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(quantisation.levels(refuseNan(decoder.decode(samples), decoder)));
        }
    }

    /** Returns images unless they hold NaN. */
    private static Tensor refuseNan(Tensor images, Decoder decoder) {
        try (TensorScope scope = TensorScope.open()) {
            if (images.ne(images).any().item() != 0) {
                String stage = decoder.diagnosis();
                throw new IllegalStateException("there is NaN in the images"
                        + (stage.isEmpty() ? ": the map made it; check its weights and precision" : ": " + stage));
            }
        }
        return images;
    }

    /** Reads samples batch by batch. */
    static void read(Path file, Device device, Sink sink) throws IOException {
        try (NpzFile open = NpzFile.open(file);
                NpzArray pixels = open.array(IMAGES);
                TensorScope whole = TensorScope.open()) {
            int dimensions = pixels.shape().dim();
            if (pixels.dtype() != DType.UINT8 || (dimensions != 3 && dimensions != 4)) {
                throw new IOException(file + ": " + IMAGES + " is " + pixels.dtype() + " " + pixels.shape()
                        + ", expected uint8 of a shape of (N, H, W, C)");
            }
            long count = pixels.shape().size(0);
            Tensor classes = open.contains(LABELS) ? open.read(LABELS).to(DType.INT64) : null;
            if (classes != null && !classes.shape().equals(Shape.of(count))) {
                throw new IOException(file + ": " + LABELS + " is " + classes + ", expected a label for each of "
                        + count + " images");
            }
            for (long at = 0; at < count; at += CHUNK) {
                try (TensorScope scope = TensorScope.open()) {
                    long from = at;
                    Tensor rows = pixels.next(CHUNK);
                    Tensor grey = dimensions == 3 ? rows.unsqueeze(3) : rows;
                    Tensor images = grey.permute(0, 3, 1, 2)
                            .contiguous()
                            .to(device)
                            .to(DType.FLOAT32)
                            .div(LEVELS);
                    sink.take(
                            images,
                            Optional.ofNullable(classes)
                                    .map(all ->
                                            all.narrow(0, from, rows.size(0)).to(device)));
                }
            }
        }
    }

    /** Reads mean and covariance of a file. */
    static GaussianStatistics readStatistics(Path file) throws IOException {
        try (NpzFile open = NpzFile.open(file)) {
            return readStatistics(file, open, "");
        }
    }

    /** Returns whether a file has mean and covariance whose names end so. */
    static boolean hasStatistics(NpzFile open, String end) {
        return open.contains(MEAN + end) && open.contains(COVARIANCE + end);
    }

    /** Reads mean and covariance whose names end so. */
    static GaussianStatistics readStatistics(Path file, NpzFile open, String end) throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            Tensor mean = open.read(MEAN + end);
            Tensor covariance = open.read(COVARIANCE + end);
            if (mean.dim() != 1 || !covariance.shape().equals(Shape.of(mean.size(0), mean.size(0)))) {
                throw new IOException(file + ": " + MEAN + end + " is " + mean + " and " + COVARIANCE + end + " is "
                        + covariance + ", expected shapes of (width) and (width, width)");
            }
            return new GaussianStatistics(
                    mean.to(DType.FLOAT64).toDoubleArray(),
                    covariance.to(DType.FLOAT64).toDoubleArray());
        } catch (IllegalArgumentException e) {
            throw new IOException(file + ": " + e.getMessage(), e);
        }
    }

    static void writeStatistics(Path file, GaussianStatistics statistics) throws IOException {
        writeStatistics(file, statistics, Optional.empty());
    }

    /** Writes statistics, those for sFID under the names of ADM's files. */
    static void writeStatistics(Path file, GaussianStatistics statistics, Optional<GaussianStatistics> spatial)
            throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            Map<String, Tensor> arrays = new LinkedHashMap<>();
            put(arrays, statistics, "");
            spatial.ifPresent(other -> put(arrays, other, SPATIAL));
            NpzFile.write(file, arrays);
        }
    }

    private static void put(Map<String, Tensor> arrays, GaussianStatistics statistics, String end) {
        int width = statistics.width();
        arrays.put(MEAN + end, Torch.of(statistics.mean()));
        arrays.put(COVARIANCE + end, Torch.of(statistics.covariance(), width, width));
    }
}
