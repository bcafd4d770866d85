package org.metaflowmaps.training.data;

import com.google.common.primitives.Doubles;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.TensorFile;

/** LightningDiT's file of each channel's mean and deviation, {@value #NAME}, beside its latents. */
final class LatentStatistics {
    static final String NAME = "latents_stats.pt";

    private LatentStatistics() {}

    static boolean present(Path folder) {
        return Files.isRegularFile(folder.resolve(NAME));
    }

    /**
     * Returns the scaling to mean 0 and deviation 1 of each channel.
     *
     * @param channels of latents
     * @param scale another scale than 1 replaces this scaling
     * @return empty without the file
     * @throws IOException if the file does not hold a mean and a deviation for each channel
     */
    static Optional<LatentScaling> of(Path folder, int channels, @Nullable Double scale) throws IOException {
        if (!present(folder) || (scale != null && scale != 1)) {
            return Optional.empty();
        }
        Path file = folder.resolve(NAME);
        try (TensorFile open = TensorFile.open(file)) {
            List<Double> means = numbers(file, open, "mean", channels);
            List<Double> deviations = numbers(file, open, "std", channels);
            return Optional.of(new LatentScaling(
                    deviations.stream().map(deviation -> 1 / deviation).toList(), means));
        } catch (IllegalArgumentException e) {
            throw new IOException(file + ": " + e.getMessage(), e);
        }
    }

    private static List<Double> numbers(Path file, TensorFile open, String name, int channels) throws IOException {
        TensorFile.Entry entry = open.entries().get(name);
        boolean fits = entry != null
                && entry.dtype().isFloatingPoint()
                && entry.elements() == channels
                && Arrays.stream(entry.shape().toArray())
                                .filter(size -> size != 1)
                                .count()
                        <= 1;
        if (entry == null || !fits) {
            throw new IOException(file + " has " + (entry == null ? "no '" + name + "'" : name + " " + entry.shape())
                    + ", expected mean and std with one number for each of " + channels + " channels");
        }
        try (TensorScope scope = TensorScope.open()) {
            return Doubles.asList(open.view(name).to(DType.FLOAT64).toDoubleArray());
        }
    }
}
