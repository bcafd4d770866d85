package org.metaflowmaps.training.data;

import com.google.common.hash.Hasher;
import com.google.common.hash.Hashing;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.metaflowmaps.models.vision.Autoencoder;

/** SHA-256 of what a folder of latents was made from. */
final class Fingerprints {
    private static final int BLOCK = 1 << 20;

    private Fingerprints() {}

    /** Describes an autoencoder's file, or a folder of its shards. */
    static LatentManifest.Vae vae(Path file, Autoencoder vae) throws IOException {
        List<Path> parts = Autoencoder.files(file);
        // The decoder of two files, whichever was named.
        Path name = parts.getLast().toAbsolutePath().normalize().getFileName();
        return new LatentManifest.Vae(
                name == null ? file.toString() : name.toString(),
                parts.size() == 1 ? file(file) : sum(parts),
                Math.toIntExact(vae.latentChannels()),
                Math.toIntExact(vae.factor()),
                vae.scale(),
                vae.shift());
    }

    /** Returns the sum of a file, or of the files in a folder. */
    static String file(Path file) throws IOException {
        return sum(
                Files.isDirectory(file)
                        ? LatentFiles.list(file).stream()
                                .filter(Files::isRegularFile)
                                .toList()
                        : List.of(file));
    }

    private static String sum(List<Path> files) throws IOException {
        Hasher hasher = Hashing.sha256().newHasher();
        byte[] block = new byte[BLOCK];
        for (Path each : files) {
            try (InputStream in = Files.newInputStream(each)) {
                for (int read = in.read(block); read >= 0; read = in.read(block)) {
                    hasher.putBytes(block, 0, read);
                }
            }
        }
        return hasher.hash().toString();
    }

    /** Returns the sum of the names of all images, in order. */
    static String listing(ImageTree images) {
        Hasher sum = Hashing.sha256().newHasher();
        for (int i = 0; i < images.count(); i++) {
            sum.putString(images.name(i), StandardCharsets.UTF_8).putByte((byte) 0);
        }
        return sum.hash().toString();
    }
}
