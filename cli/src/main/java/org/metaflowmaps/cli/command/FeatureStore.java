package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.report.CountProgress;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.steering.evaluation.FeatureSet;
import org.metaflowmaps.steering.evaluation.InceptionFeatures;

/**
 * Computes features of images in parts of 1,000, and may keep each part in a file, so that a stopped evaluation
 * continues. Files of other images, networks or presets are in other subfolders, and are not touched.
 */
final class FeatureStore {
    /** Images of a part. */
    static final int PART = 1000;

    private static final String POOL = "pool";
    private static final String SPATIAL = "spatial";
    private static final String LOGITS = "logits";

    private final InceptionFeatures network;
    private final String networkIdentity;
    private final boolean spatial;
    private final @Nullable Path folder;
    private final int batch;
    private final int part;

    /**
     * Makes a store.
     *
     * @param networkIdentity differs for other networks and presets
     * @param spatial false to leave the features for sFID out of the set; files contain them anyway
     * @param folder keeps features; null for none
     * @param batch images of a pass
     */
    FeatureStore(InceptionFeatures network, String networkIdentity, boolean spatial, @Nullable Path folder, int batch) {
        this(network, networkIdentity, spatial, folder, batch, PART);
    }

    /** Makes a store with parts of another size. */
    FeatureStore(
            InceptionFeatures network,
            String networkIdentity,
            boolean spatial,
            @Nullable Path folder,
            int batch,
            int part) {
        this.network = network;
        this.networkIdentity = networkIdentity;
        this.spatial = spatial;
        this.folder = folder;
        this.batch = batch;
        this.part = part;
    }

    /** Adds the features of all images of a source, from files where they exist. */
    void fill(FeatureSet set, ImageSource source, String task) throws IOException {
        String identity = source.identity() + "; " + networkIdentity;
        Path own = folder == null ? null : folder.resolve(Sha256.of(identity.getBytes(StandardCharsets.UTF_8), 16));
        try (CountProgress progress = new CountProgress(task, source.count())) {
            for (long from = 0; from < source.count(); from += part) {
                int size = (int) Math.min(part, source.count() - from);
                Path file = own == null ? null : own.resolve(String.format(Locale.ROOT, "%08d.safetensors", from));
                try (TensorScope scope = TensorScope.open()) {
                    InceptionFeatures.Found found;
                    if (file != null && Files.exists(file)) {
                        found = read(file, size);
                        source.skip(size);
                    } else {
                        found = computed(source, size);
                        if (file != null) {
                            write(file, identity, found);
                        }
                    }
                    set.add(
                            spatial
                                    ? found
                                    : new InceptionFeatures.Found(found.pool(), Optional.empty(), found.logits()));
                }
                progress.update(from + size);
            }
        }
    }

    private InceptionFeatures.Found computed(ImageSource source, int size) throws IOException {
        List<Tensor> pool = new ArrayList<>();
        List<Tensor> spatial = new ArrayList<>();
        List<Tensor> logits = new ArrayList<>();
        for (int left = size; left > 0; ) {
            try (TensorScope scope = TensorScope.open()) {
                for (Tensor images : source.next(Math.min(batch, left))) {
                    InceptionFeatures.Found found = network.of(images);
                    pool.add(scope.keep(found.pool().to(Device.CPU)));
                    found.spatial().ifPresent(tensor -> spatial.add(scope.keep(tensor.to(Device.CPU))));
                    logits.add(scope.keep(found.logits().to(Device.CPU)));
                    left -= Math.toIntExact(images.size(0));
                }
            }
        }
        return new InceptionFeatures.Found(
                joined(pool), spatial.isEmpty() ? Optional.empty() : Optional.of(joined(spatial)), joined(logits));
    }

    private static Tensor joined(List<Tensor> parts) {
        return Torch.cat(0, parts.toArray(Tensor[]::new));
    }

    private static void write(Path file, String identity, InceptionFeatures.Found found) throws IOException {
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        tensors.put(POOL, found.pool());
        found.spatial().ifPresent(tensor -> tensors.put(SPATIAL, tensor));
        tensors.put(LOGITS, found.logits());
        Safetensors.write(file, Map.of("images", identity), tensors);
    }

    private InceptionFeatures.Found read(Path file, int size) throws IOException {
        try (SafetensorsFile open = SafetensorsFile.open(file)) {
            Tensor pool = stored(open, file, POOL, size);
            return new InceptionFeatures.Found(
                    pool,
                    network.isSpatial() ? Optional.of(stored(open, file, SPATIAL, size)) : Optional.empty(),
                    stored(open, file, LOGITS, size));
        }
    }

    private static Tensor stored(SafetensorsFile open, Path file, String name, int size) throws IOException {
        SafetensorsFile.Entry entry = open.entries().get(name);
        if (entry == null
                || entry.dtype() != DType.FLOAT32
                || entry.shape().dim() != 2
                || entry.shape().size(0) != size) {
            throw new IOException(file + ": '" + name + "' is " + entry + ", expected float32 features of " + size
                    + " images: delete the file");
        }
        return open.view(name);
    }
}
