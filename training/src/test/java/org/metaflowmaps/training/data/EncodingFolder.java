package org.metaflowmaps.training.data;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import java.util.Random;
import javax.imageio.ImageIO;
import org.metaflowmaps.models.vision.AutoencoderKL;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * Images in class folders, some of them damaged, and the small autoencoder of the reference values.
 *
 * @param images the folder of images
 * @param vae the autoencoder's file
 */
record EncodingFolder(Path images, Path vae) {
    static final int SIZE = 16;
    /** Readable images. */
    static final int COUNT = 11;
    /** Images with the damaged ones. */
    static final int ALL = 13;

    /** Writes all files. */
    static EncodingFolder write(Path folder) throws IOException {
        Random random = new Random(5);
        Path images = folder.resolve("images");
        for (int i = 0; i < COUNT; i++) {
            BufferedImage image = new BufferedImage(14 + 3 * i, 40 - 2 * i, BufferedImage.TYPE_INT_RGB);
            for (int at = 0; at < image.getWidth() * image.getHeight(); at++) {
                image.setRGB(at % image.getWidth(), at / image.getWidth(), random.nextInt());
            }
            Path file = images.resolve("class " + "abc".charAt(i % 3)).resolve("%02d.png".formatted(i));
            Files.createDirectories(file.getParent());
            ImageIO.write(image, "png", file.toFile());
        }
        Files.writeString(images.resolve("class a/04x.png"), "<html>not found</html>");
        Files.write(images.resolve("class c/99.jpg"), new byte[0]);
        Path vae = Files.createDirectories(folder.resolve("vae")).resolve("vae.safetensors");
        resource("vae-compvis.safetensors", vae);
        resource("vae-config.json", vae.resolveSibling("config.json"));
        return new EncodingFolder(images, vae);
    }

    private static void resource(String name, Path to) throws IOException {
        try (InputStream in = EncodingFolder.class.getResourceAsStream("/vision/" + name)) {
            Files.write(to, Objects.requireNonNull(in, name).readAllBytes());
        }
    }

    AutoencoderKL network() throws IOException {
        return AutoencoderKL.load(vae, Device.CPU);
    }

    EncodingSettings settings(Path latents) {
        return new EncodingSettings(
                images,
                latents,
                vae,
                SquareCrop.ADM,
                SIZE,
                true,
                LatentManifest.Store.MOMENTS,
                DType.FLOAT32,
                2,
                3,
                5,
                1);
    }

    /** Encodes with other things to store. */
    EncodingSettings settings(Path latents, LatentManifest.Store store, boolean flips, int batch, int shard) {
        EncodingSettings base = settings(latents);
        return new EncodingSettings(
                images, latents, vae, base.crop(), SIZE, flips, store, base.dtype(), batch, 1, shard, 1);
    }

    /** Encodes all images of a folder. */
    LatentManifest encode(EncodingSettings settings, EncodingListener listener) throws IOException {
        try (AutoencoderKL network = network()) {
            return LatentEncoder.encode(settings, network, Device.CPU, listener);
        }
    }

    /** Returns mean and standard deviation of an image, computed alone. */
    double[][] moments(String name, boolean mirrored) throws IOException {
        try (TensorScope scope = TensorScope.open();
                AutoencoderKL network = network()) {
            Tensor pixels = ImageFile.read(images.resolve(name), 3)
                    .admCrop(SIZE)
                    .tensor()
                    .unsqueeze(0);
            Tensor given = ImageData.normalised(mirrored ? pixels.flip(3) : pixels);
            return new double[][] {
                network.encode(given).mean().toDoubleArray(),
                network.encode(given).std().toDoubleArray()
            };
        }
    }
}
