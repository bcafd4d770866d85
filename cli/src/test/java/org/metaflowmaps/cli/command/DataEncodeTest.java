package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.cli.Command.mfm;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.cli.Command;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.file.TensorFile;
import org.metaflowmaps.training.Checkpoint;

/** From a folder of images by its latents to a trained network, and from images through an autoencoder. */
final class DataEncodeTest {
    @TempDir
    private Path folder = Path.of("");

    private String images = "";
    private String latents = "";
    private String vae = "";

    @BeforeEach
    void write() throws IOException {
        Random random = new Random(3);
        images = folder.resolve("images").toString();
        latents = folder.resolve("latents").toString();
        for (int i = 0; i < 8; i++) {
            BufferedImage image = new BufferedImage(20, 17, BufferedImage.TYPE_INT_RGB);
            for (int at = 0; at < 20 * 17; at++) {
                image.setRGB(at % 20, at / 20, random.nextInt());
            }
            Path file = Path.of(images, i % 2 == 0 ? "cats" : "dogs", i + ".png");
            Files.createDirectories(file.getParent());
            ImageIO.write(image, "png", file.toFile());
        }
        Files.writeString(Path.of(images, "cats", "broken.png"), "text");
        Path file = folder.resolve("vae.safetensors");
        resource("vae-compvis.safetensors", file);
        resource("vae-config.json", folder.resolve("config.json"));
        vae = file.toString();
    }

    private static void resource(String name, Path to) throws IOException {
        try (InputStream in = DataEncodeTest.class.getResourceAsStream("/vision/" + name)) {
            Files.write(to, Objects.requireNonNull(in, name).readAllBytes());
        }
    }

    private Command encode(String... more) {
        return mfm(Stream.of(
                        Stream.of("data", "encode", images, latents, "--vae", vae, "--device", "cpu"), Stream.of(more))
                .flatMap(part -> part)
                .toArray(String[]::new));
    }

    private Command train(String... settings) {
        Stream<String> arguments = Stream.of("train", "quickstart", "--device", "cpu", "--out", folder + "/run");
        Stream<String> network = Stream.of(
                "model.transformer.patch_size=1",
                "model.transformer.input_size=null",
                "model.transformer.in_channels=null",
                "model.transformer.label_dim=null",
                "data.hold_out=0");
        return mfm(Stream.of(arguments, Command.TINY.stream(), network, Stream.of(settings))
                .flatMap(part -> part)
                .toArray(String[]::new));
    }

    private void assertTrained() throws IOException {
        Path checkpoint = folder.resolve("run/checkpoint.safetensors");
        assertEquals(List.of("cats", "dogs"), Checkpoint.classNames(checkpoint));
        try (TensorFile open = TensorFile.open(checkpoint)) {
            assertEquals(
                    LatentScaling.of(0.18215, 0),
                    Networks.latents(open, checkpoint).orElseThrow());
        }
    }

    @Test
    void aNetworkTrainsOnEncodedImages() throws IOException {
        long live = NativeMemory.liveTensors();
        Command encoded = encode("--size", "32", "--flips", "--batch", "3", "--shard", "4", "--workers", "2");
        assertEquals(0, encoded.code(), encoded::toString);
        assertTrue(encoded.out().contains("skipped: 1 of 9 images"), encoded.out());
        assertTrue(encoded.out().contains("cats/broken.png"), encoded.out());
        assertTrue(encoded.out().contains("latents of 8 images, 4 x 4 x 4, in 3 files"), encoded.out());
        Command checked = mfm("inspect", latents);
        assertEquals(0, checked.code(), checked::toString);
        assertTrue(checked.out().contains("data.kind: latents"), checked.out());
        train("data.kind=latents", "data.folder=" + latents, "data.flip=true").succeeded();
        assertTrained();
        String config = Files.readString(folder.resolve("run/config.yaml"));
        assertTrue(
                config.contains("  channels: 4\n")
                        && config.contains("  classes: 2\n")
                        && config.contains("  scale: 0.18215\n"),
                config);
        assertEquals(live, NativeMemory.liveTensors());
    }

    @Test
    void aNetworkTrainsOnImagesThroughAnAutoencoder() throws IOException {
        long live = NativeMemory.liveTensors();
        train(
                        "data.kind=images",
                        "data.folder=" + images,
                        "data.vae=" + vae,
                        "data.size=32",
                        "data.crop=torchvision",
                        "data.flip=true",
                        "data.on_error=skip",
                        "data.skip_at_most=0.5")
                .succeeded();
        assertTrained();
        assertEquals(live, NativeMemory.liveTensors());
        train(
                        "data.kind=images",
                        "data.folder=" + images,
                        "data.vae=" + vae,
                        "data.size=28",
                        "model.transformer.input_size=4")
                .failed("data.size is 28", "multiple of 8");
    }

    @Test
    void aTinyAutoencoderStoresSamples() throws IOException {
        vae = folder.resolve("taesd_decoder.pth").toString();
        for (String part : List.of("encoder", "decoder")) {
            resource("taesd_" + part + ".pth", folder.resolve("taesd_" + part + ".pth"));
        }
        encode("--size", "32", "--store", "moments").failed("no moments to store");
        Command encoded = encode("--size", "32");
        assertEquals(0, encoded.code(), encoded::toString);
        train("data.kind=latents", "data.folder=" + latents).succeeded();
        assertTrained();
    }

    @Test
    void wrongOptionsAreNamed() {
        encode("--size", "30").failed("size 30", "multiple of 8");
        encode("--batch", "0").failed("a batch of 0 images", "mfm data encode --help");
        mfm("data", "encode", images, latents, "--vae", images, "--device", "cpu")
                .failed(images);
        mfm("data", "encode", images).refused("--vae");
    }
}
