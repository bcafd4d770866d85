package org.metaflowmaps.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.metaflowmaps.cli.Command.mfm;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;

/** Every kind of data from files, from its configuration to a trained network. */
final class DataSourceTest {
    @TempDir
    private static Path folder = Path.of("");

    @BeforeAll
    static void write() throws IOException {
        Random random = new Random(1);
        for (String name : List.of("cats/1.png", "cats/2.jpg", "dogs/1.png")) {
            BufferedImage image = new BufferedImage(19, 12, BufferedImage.TYPE_INT_RGB);
            for (int i = 0; i < 19 * 12; i++) {
                image.setRGB(i % 19, i / 19, random.nextInt());
            }
            Path file = folder.resolve("images").resolve(name);
            Files.createDirectories(file.getParent());
            ImageIO.write(image, name.substring(name.length() - 3), file.toFile());
        }
        Path latents = Files.createDirectories(folder.resolve("latents"));
        try (TensorScope scope = TensorScope.open();
                RandomSource source = RandomSource.seeded(2)) {
            Safetensors.write(
                    latents.resolve("a.safetensors"),
                    Map.of(),
                    Map.of("latents", source.normal(5, 6, 4, 4), "labels", Torch.of(new long[] {0, 1, 1, 0, 1})));
        }
        Path idx = Files.createDirectories(folder.resolve("idx"));
        ByteBuffer pixels = ByteBuffer.allocate(16 + 6 * 16)
                .putInt(0x803)
                .putInt(6)
                .putInt(4)
                .putInt(4);
        for (int i = 0; i < 6 * 16; i++) {
            pixels.put((byte) random.nextInt());
        }
        Files.write(idx.resolve("train-images-idx3-ubyte"), pixels.array());
        Files.write(
                idx.resolve("train-labels-idx1-ubyte"),
                ByteBuffer.allocate(8 + 6)
                        .putInt(0x801)
                        .putInt(6)
                        .put(new byte[] {0, 1, 0, 1, 1, 0})
                        .array());
    }

    private static List<String> settings(String kind) {
        int channels = kind.equals("idx") ? 1 : 3;
        return List.of(
                "data.kind=" + kind,
                "data.folder=" + folder.resolve(kind),
                "data.size=4",
                "data.channels=" + channels,
                "data.classes=2",
                "data.hold_out=1",
                "model.transformer.input_size=4",
                "model.transformer.in_channels=" + channels,
                "model.transformer.label_dim=2");
    }

    private static Command train(String kind, Path run, String... more) {
        Stream<String> arguments = Stream.of("train", "quickstart", "--device", "cpu", "--out", run.toString());
        Stream<String> last = Stream.concat(Stream.of("model.transformer.patch_size=2"), Stream.of(more));
        return mfm(Stream.of(arguments, Command.TINY.stream(), settings(kind).stream(), last)
                .flatMap(part -> part)
                .toArray(String[]::new));
    }

    @ParameterizedTest
    @ValueSource(strings = {"images", "latents", "idx"})
    void aNetworkTrainsOnItAndGoesOnAfterAStop(String kind) throws IOException {
        long live = NativeMemory.liveTensors();
        Path whole = folder.resolve(kind + "-whole");
        train(kind, whole).succeeded();
        Path parts = folder.resolve(kind + "-parts");
        train(kind, parts, "steps=2", "data.workers=0").succeeded();
        mfm(
                        "train",
                        parts.resolve("config.yaml").toString(),
                        "--device",
                        "cpu",
                        "--out",
                        parts.toString(),
                        "--resume",
                        "steps=4")
                .succeeded();
        assertArrayEquals(
                Files.readAllBytes(whole.resolve("checkpoint.safetensors")),
                Files.readAllBytes(parts.resolve("checkpoint.safetensors")));
        assertEquals(live, NativeMemory.liveTensors());
    }

    @Test
    void whatIsNotThereIsNamed() throws IOException {
        Path run = folder.resolve("none");
        for (String kind : List.of("images", "latents", "idx")) {
            train(kind, run, "data.folder=null").failed("data.folder is null", "--data DIR");
            Path missing = folder.resolve("missing");
            train(kind, run, "data.folder=" + missing).failed(missing.toString());
        }
        train("images", run, "data.channels=1").failed("the network takes items of shape [3, 4, 4]", "[1, 4, 4]");
        train("latents", run, "data.channels=5").failed("a.safetensors", "[5, 6, 4, 4]", "data.channels is 5");
        train("latents", run, "data.classes=1").failed("label 1 is 1", "data.classes is 1");
        Path broken = Files.createDirectories(folder.resolve("broken/only"));
        Files.writeString(broken.resolve("text.png"), "this is a text");
        train("images", run, "data.folder=" + broken.getParent(), "model.transformer.label_dim=1", "data.hold_out=0")
                .failed(broken.resolve("text.png") + " cannot be read");
    }
}
