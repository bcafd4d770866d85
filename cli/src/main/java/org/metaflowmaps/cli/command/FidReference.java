package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.file.NpzFile;
import org.metaflowmaps.steering.evaluation.FeatureSet;
import org.metaflowmaps.steering.metric.GaussianStatistics;

/**
 * Real images that samples are compared with: published statistics, images, or both. If a file has both, as ADM's have,
 * the statistics are those of FID and sFID, because they are of more images.
 */
final class FidReference implements AutoCloseable {
    private final Path path;
    private final @Nullable GaussianStatistics pool;
    private final @Nullable GaussianStatistics spatial;
    private final @Nullable ImageSource images;
    private @Nullable FeatureSet measured;

    private FidReference(
            Path path,
            @Nullable GaussianStatistics pool,
            @Nullable GaussianStatistics spatial,
            @Nullable ImageSource images) {
        this.path = path;
        this.pool = pool;
        this.spatial = spatial;
        this.images = images;
    }

    /** Opens a folder of images, or a file of statistics, images or both. */
    static FidReference open(Path path) throws IOException {
        FidReference opened =
                Files.isDirectory(path) ? new FidReference(path, null, null, new FolderImages(path)) : archive(path);
        if (opened.images != null && opened.images.count() < 2) {
            opened.close();
            throw new IOException(path + " has 1 image, expected at least 2");
        }
        return opened;
    }

    private static FidReference archive(Path path) throws IOException {
        try (NpzFile file = NpzFile.open(path)) {
            GaussianStatistics pool = statistics(path, file, "");
            GaussianStatistics spatial = statistics(path, file, SampleArchive.SPATIAL);
            ImageSource images = file.contains(SampleArchive.IMAGES) ? new ArchiveImages(path) : null;
            if (pool == null && images == null) {
                throw new IOException(path + " has the arrays " + file.names()
                        + ", expected mu and sigma, and mu_s and sigma_s for sFID, or images arr_0");
            }
            return new FidReference(path, pool, spatial, images);
        }
    }

    private static @Nullable GaussianStatistics statistics(Path path, NpzFile file, String end) throws IOException {
        return SampleArchive.hasStatistics(file, end) ? SampleArchive.readStatistics(path, file, end) : null;
    }

    /** Returns the file or folder. */
    Path path() {
        return path;
    }

    /** Returns the images; null if there are statistics only. */
    @Nullable
    ImageSource images() {
        return images;
    }

    /** Throws if published statistics are of another network's features. */
    void requireWidths(long ofPool, long ofSpatial) throws IOException {
        requireWidth("mu", pool, ofPool);
        if (ofSpatial > 0) {
            requireWidth("mu_s", spatial, ofSpatial);
        }
    }

    private void requireWidth(String name, @Nullable GaussianStatistics found, long width) throws IOException {
        if (found != null && found.width() != width) {
            throw new IOException(path + ": " + name + " has " + found.width() + " numbers, but this network's features"
                    + " have " + width + ": give statistics of the same network");
        }
    }

    /** Computes the images' features; call it at most once, and only if there are images. */
    void measure(FeatureStore store, boolean stored) throws IOException {
        ImageSource source = Objects.requireNonNull(images);
        measured = new FeatureSet(source.count(), 1, stored);
        store.fill(measured, source, "features of the reference");
    }

    /** Returns the images' features; empty before {@link #measure}. */
    Optional<FeatureSet> measured() {
        return Optional.ofNullable(measured);
    }

    /** Returns whether published statistics of FID, or of sFID, exist. */
    boolean isPublished(boolean ofSpatial) {
        return (ofSpatial ? spatial : pool) != null;
    }

    /** Returns statistics of FID, or of sFID; empty if unknown. */
    Optional<GaussianStatistics> statistics(boolean ofSpatial) {
        GaussianStatistics published = ofSpatial ? spatial : pool;
        if (published != null) {
            return Optional.of(published);
        }
        return measured().flatMap(set -> ofSpatial ? set.spatial() : Optional.of(set.pool()));
    }

    /** Returns the origin of statistics, for people. */
    String origin(boolean ofSpatial) {
        return isPublished(ofSpatial)
                ? "statistics of the file"
                : measured().map(set -> set.count() + " images").orElse("none");
    }

    /** Returns what it is, for people. */
    String name() {
        StringBuilder text = new StringBuilder(path.toString());
        String joint = ": ";
        if (pool != null) {
            text.append(joint).append("mu, sigma (their number of images is not in the file)");
            joint = "; ";
        }
        if (spatial != null) {
            text.append(joint).append("mu_s, sigma_s");
            joint = "; ";
        }
        if (images != null) {
            text.append(joint).append(images.count()).append(" images, ").append(images.quantisation());
        }
        return text.toString();
    }

    @Override
    public void close() throws IOException {
        if (measured != null) {
            measured.close();
        }
        if (images != null) {
            images.close();
        }
    }
}
