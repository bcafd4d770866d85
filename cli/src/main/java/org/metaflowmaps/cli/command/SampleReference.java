package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.steering.evaluation.SampleStatistics;
import org.metaflowmaps.steering.evaluation.TorchScriptFeatures;
import org.metaflowmaps.steering.metric.GaussianStatistics;
import org.metaflowmaps.training.data.FashionMnist;

/** What {@code mfm evaluate samples} compares with: Fashion-MNIST's test images, or published statistics. */
final class SampleReference implements AutoCloseable {
    private static final Shape FASHION = EvaluateFashionMnistCommand.ITEM;

    private final @Nullable TorchScriptFeatures module;
    /** Null for statistics of other images. */
    private final @Nullable FashionReference fashion;

    private final @Nullable GaussianStatistics published;
    private final @Nullable Path statistics;
    private final int images;
    private final Device device;
    private @Nullable SampleStatistics measured;

    /**
     * Opens the reference.
     *
     * @param features a TorchScript network; null for mfm's classifier
     * @param statistics a file of mu and sigma; null for Fashion-MNIST's test images
     * @param images the number of test images
     */
    SampleReference(@Nullable Path features, @Nullable Path statistics, int images, Device device) throws IOException {
        this.statistics = statistics;
        this.images = images;
        this.device = device;
        this.published = statistics == null ? null : SampleArchive.readStatistics(statistics);
        this.module = features == null ? null : TorchScriptFeatures.load(features, device);
        try {
            this.fashion = statistics == null ? new FashionReference(device) : null;
        } catch (RuntimeException e) {
            if (module != null) {
                module.close();
            }
            throw e;
        }
    }

    /** Returns the reference, for people. */
    String name() {
        return statistics != null ? statistics.toString() : images + " test images of Fashion-MNIST";
    }

    /** Returns the reference's moments. */
    GaussianStatistics gaussian() {
        return published != null ? published : real().orElseThrow().gaussian();
    }

    /** Returns the real images' statistics, computed at the first call; empty if only statistics are known. */
    Optional<SampleStatistics> real() {
        if (fashion != null && measured == null) {
            measured = empty();
            measured.add(FashionMnist.test(), 0, images, device);
        }
        return Optional.ofNullable(measured);
    }

    /** Returns the classes' names; one name if they are unknown. */
    List<String> classNames() {
        return fashion == null ? List.of("all") : FashionMnist.CLASSES;
    }

    /** Returns statistics without images. */
    SampleStatistics empty() {
        if (fashion == null) {
            // The command refuses statistics without a network.
            return new SampleStatistics(Objects.requireNonNull(module), Optional.empty(), 1);
        }
        return module == null
                ? fashion.empty()
                : new SampleStatistics(module, Optional.of(fashion.judge()), FashionMnist.CLASSES.size());
    }

    /** Returns labels if this reference knows their classes. */
    Optional<Tensor> usable(Optional<Tensor> labels) {
        return fashion == null ? Optional.empty() : labels;
    }

    /** Throws if images (C, H, W) do not fit the reference. */
    void requireFit(Shape item, String source) {
        if (fashion != null && !item.equals(FASHION)) {
            throw new IllegalArgumentException(source + " has images of shape " + item
                    + ", expected Fashion-MNIST's " + FASHION
                    + ": for other images give --features FILE and --statistics FILE");
        }
    }

    @Override
    public void close() {
        if (module != null) {
            module.close();
        }
        if (fashion != null) {
            fashion.close();
        }
    }
}
