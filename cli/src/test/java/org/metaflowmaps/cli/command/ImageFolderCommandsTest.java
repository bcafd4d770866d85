package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.cli.Command.mfm;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.cli.Command;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.training.Checkpoint;
import org.metaflowmaps.training.config.Configs;
import org.metaflowmaps.training.metrics.MetricsLog;

/** A folder of images: check, training, and samples by class name. */
final class ImageFolderCommandsTest {
    @TempDir
    private Path folder = Path.of("");

    private Path data = Path.of("");

    @BeforeEach
    void write() throws IOException {
        data = folder.resolve("data");
        Random random = new Random(3);
        for (String name : List.of("Café", "Cat, tabby", "cattle")) {
            Files.createDirectories(data.resolve(name));
            for (int i = 0; i < 6; i++) {
                BufferedImage image = new BufferedImage(5, 4, BufferedImage.TYPE_INT_RGB);
                for (int at = 0; at < 20; at++) {
                    image.setRGB(at % 5, at / 5, random.nextInt());
                }
                ImageIO.write(
                        image, "png", data.resolve(name).resolve(i + ".png").toFile());
            }
        }
    }

    private Command train(Path run, String... more) {
        Stream<String> first =
                Stream.of("train", "quickstart", "--device", "cpu", "--out", run.toString(), "--data", data.toString());
        Stream<String> settings = Stream.of(
                "data.kind=images",
                "data.size=4",
                "data.channels=3",
                "data.hold_out=3",
                "data.flip=true",
                "model.transformer.input_size=4",
                "model.transformer.in_channels=3",
                "model.transformer.label_dim=3",
                "model.transformer.patch_size=2");
        return mfm(Stream.of(first, Command.TINY.stream(), settings, Stream.of(more))
                .flatMap(part -> part)
                .toArray(String[]::new));
    }

    private static Command resume(Path run, String... more) {
        return mfm(Stream.concat(
                        Stream.of(
                                "train",
                                run.resolve("config.yaml").toString(),
                                "--device",
                                "cpu",
                                "--out",
                                run.toString(),
                                "--resume"),
                        Stream.of(more))
                .toArray(String[]::new));
    }

    private Path damage(String name) throws IOException {
        return Files.writeString(data.resolve(name), "GIF89a is not decoded");
    }

    private static byte[] checkpoint(Path run) throws IOException {
        return Files.readAllBytes(run.resolve("checkpoint.safetensors"));
    }

    @Test
    void classesKeepTheirNames() throws IOException {
        Path run = folder.resolve("named");
        String out = train(run).succeeded().out();
        assertTrue(
                out.contains("18 images in 3 classes (Café 6, Cat, tabby 6, cattle 6), 3 of them held out; skipped:"
                        + " nothing"),
                out);
        String checkpoint = run.resolve("checkpoint.safetensors").toString();
        assertEquals(List.of("Café", "Cat, tabby", "cattle"), Checkpoint.classNames(Path.of(checkpoint)));
        assertArrayEquals(new long[] {1}, labels(checkpoint, "Cat, tabby"));
        assertArrayEquals(new long[] {2}, labels(checkpoint, "CATTLE"));
        assertArrayEquals(new long[] {0, 2, 3}, labels(checkpoint, "cafe\u0301,catt,3"));
        mfm("sample", checkpoint, "--class", "cat").failed("--class 'cat' is more than one class: Cat, tabby, cattle");
        mfm("sample", checkpoint, "--class", "cofe").failed("--class 'cofe' is not known: did you mean 'Café'?");
        mfm("steer", checkpoint, "--reward", "class:1")
                .failed("needs a classifier", "[1, 28, 28]", "shape [3, 4, 4]", "torchscript:FILE");
        mfm("sample", checkpoint, "--class", "7").failed("--class 7 is out of range", "0 to 2", "3 for no label");
        Files.move(data.resolve("cattle"), data.resolve("dog"));
        resume(run, "steps=6")
                .failed("was written with other classes: now 3 (Café, Cat, tabby, dog), then 3 (Café, Cat, tabby,"
                        + " cattle)");
    }

    private long[] labels(String checkpoint, String classes) throws IOException {
        Path out = folder.resolve("samples.safetensors");
        mfm(
                        "sample",
                        checkpoint,
                        "--class",
                        classes,
                        "--count",
                        "1",
                        "--steps",
                        "1",
                        "--device",
                        "cpu",
                        "--out",
                        out.toString())
                .succeeded();
        try (SafetensorsFile file = SafetensorsFile.open(out);
                TensorScope scope = TensorScope.open()) {
            return Safetensors.view(file, "labels").toLongArray();
        }
    }

    /**
     * A run that stops at a damaged file in the second half of a step and is resumed after its repair ends with the
     * weights of an undisturbed run.
     */
    @ParameterizedTest
    @ValueSource(ints = {0, 2})
    void aDamagedFileStopsTheRunWithACheckpoint(int workers) throws IOException {
        long live = NativeMemory.liveTensors();
        Path whole = folder.resolve("whole");
        train(whole, "accumulate=2", "batch=2", "steps=6").succeeded();
        byte[] good = Files.readAllBytes(data.resolve("cattle/2.png"));
        Path broken = damage("cattle/2.png");
        Path run = folder.resolve("stopped");
        train(run, "accumulate=2", "batch=2", "steps=6", "data.workers=" + workers)
                .failed(
                        broken + " cannot be read",
                        "it is a GIF image",
                        "set data.on_error=skip",
                        run.resolve("checkpoint.safetensors") + ": continue from it with --resume");
        assertTrue(Files.exists(run.resolve("checkpoint.safetensors")));
        Files.write(broken, good);
        resume(run).succeeded();
        assertArrayEquals(checkpoint(whole), checkpoint(run));
        assertEquals(live, NativeMemory.liveTensors());
    }

    @Test
    void damagedFilesAreSkippedAndCounted() throws IOException {
        damage("cattle/2.png");
        Path whole = folder.resolve("whole");
        train(whole, "data.on_error=skip", "steps=8");
        List<MetricsLog.Entry> log = MetricsLog.read(whole.resolve("metrics.jsonl"));
        double replaced = log.getLast().values().getOrDefault("items_replaced", Double.NaN);
        assertTrue(replaced == 2 || replaced == 3, "32 items of 15 are two epochs and a bit, replaced: " + replaced);
        Path parts = folder.resolve("parts");
        assertEquals(1, train(parts, "steps=8").code());
        assertEquals(
                0,
                resume(parts, "data.on_error=skip", "data.workers=3", "steps=5").code());
        assertEquals(
                0,
                resume(parts, "data.on_error=skip", "data.workers=0", "steps=8").code());
        assertArrayEquals(checkpoint(whole), checkpoint(parts));
        damage("cattle/3.png");
        damage("Café/3.png");
        train(folder.resolve("many"), "data.on_error=skip", "data.skip_at_most=0.1", "steps=8")
                .failed("of 15 items are damaged", "data.skip_at_most = 0.1");
    }

    @Test
    void aFolderIsChecked() throws IOException {
        assertTrue(mfm("inspect", data.toString()).succeeded().out().contains("all items can be read"));
        for (int i = 0; i < 6; i++) {
            damage("cattle/" + i + ".png");
        }
        Command found = mfm("inspect", data.toString());
        assertEquals(1, found.code());
        assertTrue(found.out().contains("6 damaged:"), found.out());
        assertTrue(
                found.out()
                        .contains(data.resolve("cattle/4.png")
                                + " cannot be read as a PNG or JPEG image (it is a GIF image)"),
                found.out());
        assertFalse(mfm("inspect", folder.resolve("missing").toString()).code() == 0);
    }

    @Test
    void aFolderIsCheckedWithTheSettingsOfTraining() throws IOException {
        Path set = Files.createDirectories(folder.resolve("idx"));
        Files.write(
                set.resolve("train-images-idx3-ubyte"), new byte[] {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 7});
        Files.write(set.resolve("train-labels-idx1-ubyte"), new byte[] {0, 0, 8, 1, 0, 0, 0, 1, 4});
        mfm("inspect", set.toString(), "--classes", "5").succeeded();
        Command found = mfm("inspect", set.toString(), "--classes", "4");
        assertEquals(1, found.code());
        assertTrue(found.out().contains("label 4 of image 0 is out of range; expected 0 to 3"), found.out());
        mfm("inspect", set.toString(), "--channels", "0").failed("data.channels is 0");
    }

    @Test
    void holdOutIsOfTheDataUnlessItIsGiven() throws IOException {
        assertEquals(500, Configs.load("quickstart", List.of()).config().data().holdOut());
        List<String> images = List.of("data.kind=images", "data.folder=" + data);
        assertEquals(0, Configs.load("quickstart", images).config().data().holdOut());
        Configs.Resolved now = Configs.load(
                "quickstart",
                Stream.concat(images.stream(), Stream.of("data.hold_out=7")).toList());
        assertEquals(7, now.config().data().holdOut());
        Path file = Files.writeString(folder.resolve("now.yaml"), now.yaml());
        assertEquals(7, Configs.load(file.toString(), List.of()).config().data().holdOut());
        // A file of a version without flips, in which hold_out had no effect on image files.
        Path old = Files.writeString(
                folder.resolve("old.yaml"),
                now.yaml()
                        .replaceAll("\n  (flip|on_error|skip_at_most):[^\n]*", "")
                        .replace("hold_out: 7", "hold_out: 500"));
        assertEquals(0, Configs.load(old.toString(), List.of()).config().data().holdOut());
        mfm("train", "quickstart", "--out", folder.resolve("x").toString(), "data.kind=mixture", "data.flip=true")
                .failed("data.flip is true", "data.kind is mixture");
    }
}
