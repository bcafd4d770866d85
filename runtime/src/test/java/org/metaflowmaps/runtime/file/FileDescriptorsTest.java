package org.metaflowmaps.runtime.file;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.FileInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.file.PyTorchSamples.Pickle;

/** Opening files of tensors without free file descriptors. */
final class FileDescriptorsTest {
    private static final Path OPEN = Path.of("/proc/self/fd");

    @TempDir
    private Path folder;

    private static byte[] archive() {
        return PyTorchSamples.file(
                new Pickle(2)
                        .items()
                        .text("t")
                        .tensor("FloatStorage", "0", 1, 0, PyTorchSamples.sizes(1), 1)
                        .endItems()
                        .stop(),
                Map.of("0", PyTorchSamples.floats(1)));
    }

    private static int open() {
        return Objects.requireNonNull(OPEN.toFile().list()).length;
    }

    @Test
    void damagedFilesAreClosed() throws IOException {
        assumeTrue(Files.isDirectory(OPEN));
        byte[] whole = archive();
        List<byte[]> damaged = List.of(
                new byte[0],
                Arrays.copyOf(whole, whole.length - 30),
                Arrays.copyOf(whole, whole.length / 2),
                "PK and nothing else, not at all, but more than an archive needs\0".getBytes(StandardCharsets.UTF_8),
                SafetensorsSamples.file("{\"a\":1}", 0),
                new Pickle(2).stop());
        int before = 0;
        for (int round = 0; round < 20; round++) {
            for (byte[] content : damaged) {
                Path file = Files.write(folder.resolve("damaged.pt"), content);
                assertThrows(IOException.class, () -> TensorFile.open(file).close());
                assertThrows(IOException.class, () -> PyTorchFile.open(file).close());
                assertThrows(IOException.class, () -> SafetensorsFile.open(file).close());
            }
            before = round == 0 ? open() : before;
        }
        assertEquals(before, open());
    }

    /**
     * In a process with few file descriptors: first none is free; later, when some are free again, everything works.
     */
    @Test
    void tooManyOpenFilesBreakNothing() throws IOException, InterruptedException {
        assumeTrue(Files.isDirectory(OPEN) && Files.isExecutable(Path.of("/bin/sh")));
        Path torch = Files.write(folder.resolve("a.pt"), archive());
        Path plain = Files.write(folder.resolve("a.safetensors"), SafetensorsSamples.file("{}", 0));
        Path log = folder.resolve("log");
        Process child = new ProcessBuilder(
                        "/bin/sh",
                        "-c",
                        "ulimit -n 150; exec \"$@\"",
                        "sh",
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "--enable-native-access=ALL-UNNAMED",
                        "-cp",
                        System.getProperty("java.class.path"),
                        Exhausted.class.getName(),
                        torch.toString(),
                        plain.toString())
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        assertEquals(0, child.waitFor(), Files.readString(log));
    }

    /** The child's program. */
    static final class Exhausted {
        private Exhausted() {}

        /** Exits with 0 if opening without a free descriptor throws IOException and later succeeds. */
        public static void main(String[] files) throws IOException {
            // Each class in a folder needs a descriptor, unlike classes in a JAR file.
            for (String file : files) {
                TensorFile.open(Path.of(file)).close();
            }
            List<FileInputStream> held = new ArrayList<>();
            try {
                while (true) {
                    held.add(new FileInputStream(files[0]));
                }
            } catch (IOException none) {
                for (String file : files) {
                    for (int i = 0; i < 3; i++) {
                        refuse(file);
                    }
                }
            }
            for (FileInputStream stream : held) {
                stream.close();
            }
            for (String file : files) {
                TensorFile.open(Path.of(file)).close();
            }
        }

        private static void refuse(String file) {
            try {
                TensorFile.open(Path.of(file)).close();
            } catch (IOException e) {
                return;
            }
            throw new IllegalStateException(file + " was opened");
        }
    }
}
