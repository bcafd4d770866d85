package org.metaflowmaps.training.data;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.models.vision.Autoencoder;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * A folder of images whose batches a frozen autoencoder encodes on the loader's device: items are draws of latents,
 * scaled.
 *
 * <p>Draws use the loader's noise, so that batches depend only on the seed and the position; mirroring is done on pixels.
 */
final class EncodedImages implements Items {
    private final ImageFolder images;
    private final Autoencoder vae;
    private final int size;

    private EncodedImages(ImageFolder images, Autoencoder vae, int size) {
        this.images = images;
        this.vae = vae;
        this.size = size;
    }

    /** Opens a folder and loads the autoencoder to the loader's device. */
    static EncodedImages open(DataConfig config, Path file, Device device) throws IOException {
        ImageFolder images = ImageFolder.open(config);
        Autoencoder vae = Autoencoder.load(file, DType.FLOAT32, device);
        try {
            if (config.size() % vae.factor() != 0) {
                throw new IllegalArgumentException("config: data.size is " + config.size() + ", expected a multiple of "
                        + vae.factor() + ", the factor of data.vae");
            }
            double scale = vae.scale();
            Double given = config.scale();
            if (given != null && given != scale) {
                throw new IllegalArgumentException("config: data.scale is " + given + ", but " + file + " has " + scale
                        + " in the config.json beside it, or by default: set data.scale to " + scale + ", or to null");
            }
            return new EncodedImages(images, vae, config.size());
        } catch (RuntimeException e) {
            vae.close();
            throw e;
        }
    }

    @Override
    public int count() {
        return images.count();
    }

    @Override
    public Shape itemShape() {
        return Shape.of(vae.latentChannels(), size / vae.factor(), size / vae.factor());
    }

    @Override
    public int classes() {
        return images.classes();
    }

    @Override
    public List<String> classNames() {
        return images.classNames();
    }

    @Override
    public int label(int index) {
        return images.label(index);
    }

    @Override
    public DType storedType() {
        return images.storedType();
    }

    @Override
    public Shape storedShape() {
        return images.storedShape();
    }

    @Override
    public void read(int index, MemorySegment row) throws IOException {
        images.read(index, row);
    }

    @Override
    public Tensor decode(Tensor stored, Supplier<Tensor> noise) {
        // Encoders of Stable Diffusion are too inexact in bfloat16.
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad();
                Autocast exact = Autocast.off(stored.device().type())) {
            return scope.keep(vae.scaled(vae.latents(ImageData.normalised(stored), mean -> noise.get())));
        }
    }

    @Override
    public Optional<LatentScaling> latents() {
        return Optional.of(LatentScaling.of(vae.scale(), vae.shift()));
    }

    @Override
    public void requireMirrorable() {
        // Pixels are mirrored before they are encoded.
    }

    @Override
    public int[] heldOut(int count) {
        return images.heldOut(count);
    }

    @Override
    public String summary(int heldOut) {
        return images.summary(heldOut) + "; encoded to " + itemShape();
    }

    @Override
    public void close() {
        vae.close();
        images.close();
    }
}
