package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.NpzArray;
import org.metaflowmaps.runtime.file.NpzFile;
import org.metaflowmaps.steering.metric.GaussianStatistics;
import org.metaflowmaps.steering.reward.PixelDecoder;

/** Samples in a file as public evaluators have them: {@code arr_0} uint8 (N, H, W, C), {@code arr_1} labels. */
final class SampleArchive implements AutoCloseable {
    private static final String IMAGES = "arr_0";
    private static final String LABELS = "arr_1";
    private static final String MEAN = "mu";
    private static final String COVARIANCE = "sigma";
    private static final double LEVELS = 255;
    private static final int CHUNK = 250;

    private final Tensor images;
    private final Tensor labels;
    private long filled;
    private boolean labelled;

    /** Receives a batch: images (B, C, H, W) in [0, 1], and their labels. */
    @FunctionalInterface
    interface Sink {
        void take(Tensor images, Optional<Tensor> labels);
    }

    /**
     * Makes room for samples.
     *
     * @param item (C, H, W)
     */
    SampleArchive(Shape item, int count) {
        try (TensorScope scope = TensorScope.open()) {
            images = Torch.empty(DType.UINT8, Device.CPU, count, item.size(1), item.size(2), item.size(0))
                    .retain();
            labels = Torch.zeros(DType.INT64, Device.CPU, count).retain();
        }
    }

    /** Adds samples (B, C, H, W) in [-1, 1]. */
    void add(Tensor samples, @Nullable Tensor classes) {
        try (TensorScope scope = TensorScope.open()) {
            long size = samples.size(0);
            Tensor levels = new PixelDecoder()
                    .decode(samples)
                    .mul(LEVELS)
                    .add(0.5)
                    .floor()
                    .to(DType.UINT8)
                    .permute(0, 2, 3, 1);
            images.narrow(0, filled, size).copy_(levels.to(Device.CPU));
            if (classes != null) {
                labelled = true;
                labels.narrow(0, filled, size).copy_(classes.to(Device.CPU));
            }
            filled += size;
        }
    }

    void write(Path file) throws IOException {
        Map<String, Tensor> arrays = new LinkedHashMap<>();
        arrays.put(IMAGES, images);
        if (labelled) {
            arrays.put(LABELS, labels);
        }
        NpzFile.write(file, arrays);
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
        try (NpzFile open = NpzFile.open(file);
                TensorScope scope = TensorScope.open()) {
            Tensor mean = open.read(MEAN);
            Tensor covariance = open.read(COVARIANCE);
            if (mean.dim() != 1 || !covariance.shape().equals(Shape.of(mean.size(0), mean.size(0)))) {
                throw new IOException(file + ": " + MEAN + " is " + mean + " and " + COVARIANCE + " is " + covariance
                        + ", expected shapes of (width) and (width, width)");
            }
            return new GaussianStatistics(
                    mean.to(DType.FLOAT64).toDoubleArray(),
                    covariance.to(DType.FLOAT64).toDoubleArray());
        }
    }

    static void writeStatistics(Path file, GaussianStatistics statistics) throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            int width = statistics.width();
            Map<String, Tensor> arrays = new LinkedHashMap<>();
            arrays.put(MEAN, Torch.of(statistics.mean()));
            arrays.put(COVARIANCE, Torch.of(statistics.covariance(), width, width));
            NpzFile.write(file, arrays);
        }
    }

    @Override
    public void close() {
        images.close();
        labels.close();
    }
}
