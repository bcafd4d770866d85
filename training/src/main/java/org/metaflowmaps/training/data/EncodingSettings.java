package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import java.nio.file.Path;
import org.metaflowmaps.runtime.DType;

/**
 * How a folder of images is encoded to latents.
 *
 * @param images a folder with one subfolder of PNG and JPEG files per class, or with such files
 * @param latents the folder for the result; made if missing
 * @param vae the autoencoder's file
 * @param crop how an image becomes a square
 * @param size rows and columns of the square, a multiple of the autoencoder's factor
 * @param flips whether to store the latents of mirrored images too
 * @param store moments or one sample of each image
 * @param dtype of stored numbers: float32, float16 or bfloat16
 * @param batch images that are encoded together, at least 1
 * @param workers threads that read images, at least 1
 * @param shard images of each file, at least 1
 * @param seed of samples
 */
public record EncodingSettings(
        Path images,
        Path latents,
        Path vae,
        SquareCrop crop,
        int size,
        boolean flips,
        LatentManifest.Store store,
        DType dtype,
        int batch,
        int workers,
        int shard,
        long seed) {
    private static final int MOST_WORKERS = 1024;
    private static final int MOST_IMAGES = 1 << 20;

    /** Checks the ranges. */
    public EncodingSettings {
        Preconditions.checkNotNull(images, "encoding: the folder of images is null");
        Preconditions.checkNotNull(latents, "encoding: the folder of latents is null");
        Preconditions.checkNotNull(vae, "encoding: the autoencoder's file is null");
        Preconditions.checkNotNull(crop, "encoding: the crop is null");
        Preconditions.checkNotNull(store, "encoding: what to store is null");
        Preconditions.checkArgument(
                dtype == DType.FLOAT32 || dtype == DType.FLOAT16 || dtype == DType.BFLOAT16,
                "encoding: numbers of type %s, expected float32, float16 or bfloat16",
                dtype);
        Preconditions.checkArgument(
                size >= 1 && size <= 1 << 14, "encoding: images of size %s, expected 1 to 16384", size);
        check("a batch of %s images", batch, MOST_IMAGES);
        check("files of %s images", shard, MOST_IMAGES);
        check("%s threads that read images", workers, MOST_WORKERS);
        Preconditions.checkArgument(
                3L * size * size * batch <= Integer.MAX_VALUE,
                "encoding: a batch of %s images of size %s, expected fewer than 2^31 bytes of pixels: choose a smaller"
                        + " batch",
                batch,
                size);
    }

    private static void check(String what, int value, int most) {
        Preconditions.checkArgument(
                value >= 1 && value <= most, "encoding: " + what + ", expected 1 to %s", value, most);
    }
}
