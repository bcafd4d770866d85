package org.metaflowmaps.training.data;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.OutgoingTensor;
import org.metaflowmaps.runtime.file.SafetensorsWriter;

/** The latents of a shard in CPU memory, until all are there. */
final class ShardRows implements AutoCloseable {
    private final LatentManifest manifest;
    private final Tensor latents;
    private final @Nullable Tensor mirrored;
    private final Tensor labels;
    private int count;

    /** Makes room for some latents. */
    ShardRows(LatentManifest manifest, int most, DType type) {
        this.manifest = manifest;
        long side = manifest.size() / manifest.vae().factor();
        Shape shape = Shape.of(
                most, (long) manifest.store().form().parts() * manifest.vae().channels(), side, side);
        try (TensorScope scope = TensorScope.open()) {
            // Retain after the last allocation, because nothing would free the first ones if it failed.
            Tensor values = Torch.empty(type, Device.CPU, shape);
            Tensor flipped = manifest.flips() ? Torch.empty(type, Device.CPU, shape) : null;
            Tensor numbers = Torch.zeros(DType.INT64, Device.CPU, most);
            this.latents = values.retain();
            this.mirrored = flipped == null ? null : flipped.retain();
            this.labels = numbers.retain();
        }
    }

    int count() {
        return count;
    }

    /**
     * Adds a batch.
     *
     * @param values (B, channels, height, width), on any device
     * @param flipped those of the mirrored images; null for none
     */
    void add(Tensor values, @Nullable Tensor flipped, long[] classes) {
        try (TensorScope scope = TensorScope.open()) {
            latents.narrow(0, count, classes.length).copy_(values);
            if (mirrored != null && flipped != null) {
                mirrored.narrow(0, count, classes.length).copy_(flipped);
            }
            labels.narrow(0, count, classes.length).copy_(Torch.of(classes));
            count += classes.length;
        }
    }

    /** Writes the file; returns its SHA-256. */
    String write(Path file, int first) throws IOException {
        List<OutgoingTensor> tensors = new ArrayList<>();
        String name = manifest.store().tensor();
        tensors.add(outgoing(name, latents));
        if (mirrored != null) {
            tensors.add(outgoing(name + LatentShards.MIRRORED, mirrored));
        }
        tensors.add(outgoing(LatentShards.LABELS, labels));
        return SafetensorsWriter.write(file, ManifestShards.metadata(manifest, first), tensors);
    }

    private OutgoingTensor outgoing(String name, Tensor all) {
        Shape shape = all.shape().from(1).prepend(count);
        return new OutgoingTensor.Deferred(name, all.dtype(), shape, () -> all.narrow(0, 0, count));
    }

    @Override
    public void close() {
        latents.close();
        labels.close();
        if (mirrored != null) {
            mirrored.close();
        }
    }
}
