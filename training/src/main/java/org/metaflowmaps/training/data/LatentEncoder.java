package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import org.metaflowmaps.models.vision.Autoencoder;
import org.metaflowmaps.models.vision.Posterior;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.AtomicFile;

/**
 * Encodes a folder of images to a folder of latents, which {@code data.kind: latents} reads.
 *
 * <p>Shards are safetensors files of {@code moments} (N, 2C, H, W), means and standard deviations of the autoencoder's
 * unscaled latents, or {@code latents} (N, C, H, W), one sample of each; {@code labels} (N) in int64; and
 * {@code moments_flip} or {@code latents_flip}, those of the mirrored images. A shard is written beside its place and
 * renamed, and then listed in {@value LatentManifest#NAME}. So a killed run continues after its last whole shard, with the
 * same result as a run that was not killed. Images that cannot be read are skipped and listed.
 */
public final class LatentEncoder {
    private static final String LOCK = ".encode.lock";

    private final EncodingSettings settings;
    private final Autoencoder vae;
    private final Device device;
    private final ImageTree images;
    private final EncodingListener listener;

    private LatentEncoder(
            EncodingSettings settings, Autoencoder vae, Device device, ImageTree images, EncodingListener listener) {
        this.settings = settings;
        this.vae = vae;
        this.device = device;
        this.images = images;
        this.listener = listener;
    }

    /**
     * Encodes all images, or those that an earlier run has left.
     *
     * @param vae the network of {@code settings.vae()} in float32; stays the caller's
     * @param device of the network
     * @return the folder's manifest; not complete if the listener stopped the run
     * @throws IOException if a file cannot be read or written, the folder holds latents of other settings or images, another
     *     process writes to it, or no image can be read
     * @throws IllegalArgumentException if the size is not a multiple of the network's factor, the network has no moments
     *     and they are to be stored, or the folder of latents is in that of the images
     */
    public static LatentManifest encode(
            EncodingSettings settings, Autoencoder vae, Device device, EncodingListener listener) throws IOException {
        Objects.requireNonNull(listener, "encode: listener is null");
        Preconditions.checkArgument(
                settings.size() % vae.factor() == 0,
                "encoding: images of size %s, expected a multiple of %s, the ratio of the sides of images and latents",
                settings.size(),
                vae.factor());
        Preconditions.checkArgument(
                settings.store() != LatentManifest.Store.MOMENTS || vae.hasMoments(),
                "encoding: %s encodes an image to one latent and has no moments to store: store samples",
                settings.vae());
        Path inside = settings.latents().toAbsolutePath().normalize();
        Preconditions.checkArgument(
                !inside.startsWith(settings.images().toAbsolutePath().normalize()),
                "encoding: the folder of latents, %s, is in that of the images: choose another place",
                settings.latents());
        ImageTree images = new ImageTree(settings.images(), true);
        LatentEncoder encoder = new LatentEncoder(settings, vae, device, images, listener);
        Files.createDirectories(settings.latents());
        try (FileChannel lock = locked(settings.latents())) {
            AtomicFile.deleteAbandoned(settings.latents());
            LatentManifest manifest = encoder.run(encoder.begun());
            if (manifest.isComplete() && manifest.count() == 0) {
                throw new IOException(settings.images() + ": none of its " + images.count()
                        + " images can be read, the first because "
                        + manifest.skipped().getFirst().reason());
            }
            return manifest;
        }
    }

    private static FileChannel locked(Path folder) throws IOException {
        FileChannel channel = FileChannel.open(
                folder.resolve(LOCK), StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
        try {
            FileLock lock = channel.tryLock();
            if (lock != null) {
                return channel;
            }
        } catch (OverlappingFileLockException e) {
            // Another thread of this process holds it.
        } catch (IOException e) {
            // Some network file systems have no locks.
            return channel;
        }
        channel.close();
        throw new IOException("another process encodes images to " + folder
                + ": wait until it ends, stop it, or choose another folder");
    }

    /** Returns the manifest to continue, after a check that it is of the same images and settings. */
    private LatentManifest begun() throws IOException {
        Path folder = settings.latents();
        LatentManifest fresh = new LatentManifest(
                LatentManifest.FORMAT,
                1,
                Fingerprints.vae(settings.vae(), vae),
                settings.store(),
                settings.dtype().safetensorsName(),
                settings.crop(),
                settings.size(),
                settings.flips(),
                settings.seed(),
                images.classNames(),
                images.count(),
                Fingerprints.listing(images),
                List.of(),
                List.of());
        if (Files.exists(folder.resolve(LatentManifest.NAME))) {
            LatentManifest before = LatentManifest.read(folder);
            String difference = ManifestShards.difference(fresh, before);
            if (!difference.isEmpty()) {
                throw new IOException(folder + " holds latents of another run: " + difference
                        + ". Choose another folder, or delete this one");
            }
            ManifestShards.requireShards(before, folder);
            return before;
        }
        List<Path> others = LatentFiles.list(folder);
        if (!others.isEmpty()) {
            throw new IOException(folder + " is not empty: it holds "
                    + others.getFirst().getFileName() + ", and no " + LatentManifest.NAME
                    + ". Choose another folder");
        }
        fresh.write(folder);
        return fresh;
    }

    private LatentManifest run(LatentManifest begun) throws IOException {
        LatentManifest manifest = begun;
        listener.begin(images.count(), manifest.done());
        try (PixelQueue queue = new PixelQueue(images, settings, manifest.done())) {
            while (!manifest.isComplete() && !listener.isStopped()) {
                manifest = shard(manifest, queue);
            }
        }
        return manifest;
    }

    /** Encodes the next shard, or the part of it before a stop. */
    private LatentManifest shard(LatentManifest manifest, PixelQueue queue) throws IOException {
        int first = manifest.done();
        int end = (int) Math.min((long) first + settings.shard(), images.count());
        List<LatentManifest.Skipped> skipped = new ArrayList<>();
        try (ShardRows rows = new ShardRows(manifest, end - first, settings.dtype())) {
            int at = first;
            while (at < end && !(at > first && listener.isStopped())) {
                List<PixelQueue.Picture> batch = new ArrayList<>();
                while (at < end && batch.size() < settings.batch()) {
                    PixelQueue.Picture picture = queue.take();
                    at++;
                    picture.skipped().ifPresentOrElse(skipped::add, () -> batch.add(picture));
                }
                if (!batch.isEmpty()) {
                    add(batch, rows);
                }
                listener.at(at);
            }
            String name = shardName(manifest.shards().size());
            String sum = rows.write(settings.latents().resolve(name), first);
            LatentManifest next =
                    manifest.with(new LatentManifest.Shard(name, sum, first, at - first, rows.count()), skipped);
            next.write(settings.latents());
            return next;
        }
    }

    private void add(List<PixelQueue.Picture> batch, ShardRows rows) throws IOException {
        byte[] bytes = new byte[batch.size() * batch.getFirst().pixels().length];
        long[] classes = new long[batch.size()];
        for (int i = 0; i < classes.length; i++) {
            byte[] pixels = batch.get(i).pixels();
            System.arraycopy(pixels, 0, bytes, i * pixels.length, pixels.length);
            classes[i] = images.labels()[batch.get(i).index()];
        }
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad();
                Autocast exact = Autocast.off(device.type())) {
            Tensor pixels = Torch.copyOf(
                            MemorySegment.ofArray(bytes),
                            DType.UINT8,
                            classes.length,
                            3,
                            settings.size(),
                            settings.size())
                    .to(device);
            Tensor values = encoded(ImageData.normalised(pixels), batch, false);
            rows.add(
                    values,
                    settings.flips() ? encoded(ImageData.normalised(pixels.flip(3)), batch, true) : null,
                    classes);
        }
    }

    private Tensor encoded(Tensor pixels, List<PixelQueue.Picture> batch, boolean mirrored) throws IOException {
        try (TensorScope scope = TensorScope.open()) {
            Tensor values = (settings.store() == LatentManifest.Store.MOMENTS
                            ? moments(vae.posterior(pixels).orElseThrow())
                            : vae.latents(pixels, mean -> noise(mean, batch, mirrored)))
                    .to(settings.dtype());
            Tensor rows = values.isFinite().to(DType.FLOAT64).reshape(batch.size(), -1);
            double[] finite = rows.sum(1).toDoubleArray();
            for (int i = 0; i < finite.length; i++) {
                if (finite[i] < rows.size(1)) {
                    throw new IOException(images.file(batch.get(i).index()) + " has latents that are not finite in "
                            + settings.dtype() + ": check the autoencoder, or store float32");
                }
            }
            return scope.keep(values);
        }
    }

    private static Tensor moments(Posterior posterior) {
        return Torch.cat(1, posterior.mean(), posterior.std());
    }

    /** Draws the noise of each image by its number, so that it does not depend on batches. */
    private Tensor noise(Tensor mean, List<PixelQueue.Picture> batch, boolean mirrored) {
        long stream = Seeds.of(settings.seed(), mirrored ? 1 : 0);
        try (TensorScope scope = TensorScope.open()) {
            Tensor[] each = new Tensor[batch.size()];
            for (int i = 0; i < each.length; i++) {
                try (RandomSource random = Seeds.source(stream, batch.get(i).index(), Device.CPU)) {
                    each[i] = random.normal(mean.shape().from(1));
                }
            }
            return scope.keep(Torch.stack(0, each).to(device));
        }
    }

    /** Returns the name of a shard. */
    static String shardName(int number) {
        return String.format(Locale.ROOT, "latents-%05d.safetensors", number);
    }
}
