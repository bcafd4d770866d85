package org.metaflowmaps.training.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.models.vision.Autoencoder;
import org.metaflowmaps.models.vision.TinyAutoencoder;
import org.metaflowmaps.models.vision.TinyNetworks;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.SafetensorsFile;

/** Latents of TAESD, which encodes an image to one latent. */
final class TinyEncodingTest {
    @TempDir
    private Path folder = Path.of("");

    private EncodingFolder files;
    private Path encoder;
    private Path decoder;

    @BeforeEach
    void write() throws IOException {
        files = EncodingFolder.write(folder);
        encoder = TinyNetworks.reference(folder, "taesd_encoder.pth");
        decoder = TinyNetworks.reference(folder, "taesd_decoder.pth");
    }

    private EncodingSettings settings(Path vae, LatentManifest.Store store, boolean flips) {
        EncodingSettings base = files.settings(folder.resolve("latents"), store, flips, 3, 100);
        return new EncodingSettings(
                base.images(),
                base.latents(),
                vae,
                base.crop(),
                base.size(),
                flips,
                store,
                base.dtype(),
                base.batch(),
                base.workers(),
                base.shard(),
                base.seed());
    }

    @Test
    void shardsHoldTheOnlyLatentsOfEachImage() throws IOException {
        long live = NativeMemory.liveTensors();
        // Either file names the network.
        try (Autoencoder network = Autoencoder.load(encoder, DType.FLOAT32, Device.CPU);
                TinyAutoencoder expected = TinyAutoencoder.load(encoder, decoder, DType.FLOAT32, Device.CPU)) {
            LatentManifest manifest = LatentEncoder.encode(
                    settings(decoder, LatentManifest.Store.SAMPLE, true), network, Device.CPU, at -> {});
            assertTrue(manifest.isComplete());
            assertEquals(0.18215, manifest.vae().scale());
            Path shard = folder.resolve("latents")
                    .resolve(manifest.shards().getFirst().file());
            try (SafetensorsFile open = SafetensorsFile.open(shard);
                    TensorScope scope = TensorScope.open()) {
                Tensor pixels = ImageFile.read(files.images().resolve("class a/00.png"), 3)
                        .admCrop(EncodingFolder.SIZE)
                        .tensor()
                        .unsqueeze(0);
                for (boolean mirrored : new boolean[] {false, true}) {
                    Tensor given = ImageData.normalised(mirrored ? pixels.flip(3) : pixels);
                    Tensor stored =
                            open.view(mirrored ? "latents_flip" : "latents").narrow(0, 0, 1);
                    assertArrayEquals(
                            expected.encode(given).toDoubleArray(),
                            network.scaled(stored).toDoubleArray(),
                            1e-5);
                }
            }
        }
        assertEquals(live, NativeMemory.liveTensors());
    }

    @Test
    void momentsAreRefused() throws IOException {
        try (Autoencoder network = Autoencoder.load(decoder, DType.FLOAT32, Device.CPU)) {
            Refusal.illegalArgument(
                    "has no moments to store: store samples",
                    () -> LatentEncoder.encode(
                            settings(decoder, LatentManifest.Store.MOMENTS, false), network, Device.CPU, at -> {}));
        }
        assertTrue(Files.notExists(folder.resolve("latents")));
    }

    @Test
    void theFingerprintIsThatOfBothFiles() throws IOException {
        try (Autoencoder network = Autoencoder.load(decoder, DType.FLOAT32, Device.CPU)) {
            String both = Fingerprints.vae(decoder, network).sha256();
            assertEquals(Fingerprints.vae(decoder, network), Fingerprints.vae(encoder, network));
            assertNotEquals(Fingerprints.file(decoder), both);
            assertNotEquals(Fingerprints.file(encoder), both);
        }
    }

    @Test
    void aNetworkTrainsOnImagesThroughIt() throws IOException {
        DataConfig config = DataConfig.builder()
                .kind(DataConfig.Kind.IMAGES)
                .folder(files.images().toString())
                .vae(decoder.toString())
                .size(EncodingFolder.SIZE)
                .onError(DataConfig.OnError.SKIP)
                .skipAtMost(1)
                .build();
        try (EncodedImages items = EncodedImages.open(config, decoder, Device.CPU);
                TinyAutoencoder expected = TinyAutoencoder.load(encoder, decoder, DType.FLOAT32, Device.CPU);
                TensorScope scope = TensorScope.open()) {
            Tensor pixels = ImageFile.read(files.images().resolve("class a/00.png"), 3)
                    .admCrop(EncodingFolder.SIZE)
                    .tensor()
                    .unsqueeze(0);
            Tensor found = items.decode(pixels, () -> {
                throw new AssertionError("TAESD draws no noise");
            });
            assertArrayEquals(
                    expected.encode(ImageData.normalised(pixels)).toDoubleArray(), found.toDoubleArray(), 1e-5);
        }
    }
}
