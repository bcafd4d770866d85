package org.metaflowmaps.runtime.file;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.file.PyTorchSamples.floats;
import static org.metaflowmaps.runtime.file.PyTorchSamples.sizes;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.PyTorchSamples.Pickle;

/** Damaged files, the same in every run: each is rejected by name, or all its tensors are inside the file. */
class PyTorchFuzzTest {
    private static final int FLIPS = 300;
    private static final int FILES = 200;
    private static final int PICKLES = 10_000;

    @TempDir
    private Path folder;

    private int accepted;
    private int refused;

    private static byte[] pickle() {
        return new Pickle(2)
                .items()
                .text("ema")
                .orderedDict()
                .op('(')
                .text("a")
                .tensor("FloatStorage", "0", 6, 0, sizes(2, 3), 3, 1)
                .text("b")
                .tensor("HalfStorage", "1", 4, 1, sizes(1, 2), 1, 1)
                .op('u')
                .text("epoch")
                .number(3)
                .text("opt")
                .op(']', '(')
                .tensor("FloatStorage", "0", 6, 0, sizes(3, 2), 1, 3)
                .number(1000)
                .op('e')
                .endItems()
                .stop();
    }

    private static byte[] file(byte[] pickle) {
        return PyTorchSamples.file(pickle, Map.of("0", floats(1, 2, 3, 4, 5, 6), "1", new byte[8]));
    }

    private void check(byte[] content) throws IOException {
        Path path = Files.write(folder.resolve("damaged.pt"), content);
        try (PyTorchFile file = PyTorchFile.open(path)) {
            accepted++;
            for (PyTorchFile.Entry entry : file.entries().values()) {
                try (TensorScope scope = TensorScope.open()) {
                    Tensor tensor = file.view(entry.name());
                    assertEquals(entry.elements(), tensor.toFloatArray().length);
                    assertTrue(
                            entry.begin() >= 0
                                    && (entry.byteSize() == 0
                                            || entry.begin()
                                                            + entry.extent()
                                                                    * entry.dtype()
                                                                            .bytes()
                                                    <= content.length),
                            entry.toString());
                }
            }
        } catch (PyTorchException e) {
            refused++;
            String message = String.valueOf(e.getMessage());
            assertTrue(message.startsWith(path + ": ") && message.length() < 900, message);
        }
    }

    @Test
    void truncatedFilesAreRefused() throws IOException {
        byte[] whole = file(pickle());
        check(whole);
        assertEquals(1, accepted);
        for (int length = 0; length < whole.length; length += 16) {
            check(Arrays.copyOf(whole, length));
        }
        assertEquals(1, accepted);
    }

    @Test
    void flippedBytes() throws IOException {
        byte[] whole = file(pickle());
        for (int i = 0; i < FLIPS; i++) {
            Random random = new Random(i);
            byte[] damaged = whole.clone();
            for (int count = random.nextInt(3); count >= 0; count--) {
                damaged[random.nextInt(damaged.length)] ^= (byte) (1 << random.nextInt(8));
            }
            check(damaged);
        }
        assertTrue(accepted > FLIPS / 20 && refused > FLIPS / 4, accepted + " passed, " + refused + " refused");
    }

    /** With a correct checksum, so that the pickle itself is tested. */
    @Test
    void damagedPicklesInFiles() throws IOException {
        for (int i = 0; i < FILES; i++) {
            check(file(damaged(new Random(i))));
        }
        assertTrue(accepted > 0 && refused > FILES / 2, accepted + " passed, " + refused + " refused");
    }

    @Test
    void damagedPickles() {
        for (int i = 0; i < PICKLES; i++) {
            try {
                byte[] pickle = damaged(new Random(i));
                org.metaflowmaps.runtime.file.Pickle.read(
                        "test.pt", MemorySegment.ofArray(pickle), 0, new PyTorchObjects(pickle.length));
                accepted++;
            } catch (PyTorchException e) {
                refused++;
                assertTrue(String.valueOf(e.getMessage()).startsWith("test.pt: "), e.toString());
            }
        }
        assertTrue(accepted > PICKLES / 50 && refused > PICKLES / 4, accepted + " passed, " + refused + " refused");
    }

    private static byte[] damaged(Random random) {
        byte[] pickle = pickle();
        byte[] damaged = pickle.clone();
        for (int count = random.nextInt(3); count >= 0; count--) {
            int at = random.nextInt(damaged.length);
            switch (random.nextInt(4)) {
                case 0 -> damaged[at] = (byte) random.nextInt(256);
                case 1 -> damaged = Arrays.copyOf(damaged, Math.max(1, at));
                case 2 -> damaged[at] = pickle[random.nextInt(pickle.length)];
                default -> damaged[at] = (byte) (damaged[at] + 1 - 2 * random.nextInt(2));
            }
        }
        return damaged;
    }
}
