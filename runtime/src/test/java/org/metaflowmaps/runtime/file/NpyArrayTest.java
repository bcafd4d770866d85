package org.metaflowmaps.runtime.file;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Refusal;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Arrays and tensors that are read without tensors. */
final class NpyArrayTest {
    @TempDir
    private Path folder = Path.of("");

    private static byte[] array() {
        byte[] header = NpyHeader.written("a", DType.INT64, Shape.of(2, 1));
        byte[] content = Arrays.copyOf(header, header.length + 16);
        content[header.length] = 5;
        content[header.length + 8] = 7;
        return content;
    }

    @Test
    void aWholeArrayIsRead() throws IOException {
        NpyArray array = NpyArray.of(Path.of("a.npy"), array());
        assertEquals(DType.INT64, array.dtype());
        assertEquals(Shape.of(2, 1), array.shape());
        assertArrayEquals(new long[] {5, 7}, array.data().toArray(ValueLayout.JAVA_LONG_UNALIGNED));
    }

    @Test
    void filesCutAtEveryPositionAreRefused() {
        byte[] whole = array();
        for (int length = 0; length < whole.length; length++) {
            byte[] cut = Arrays.copyOf(whole, length);
            assertThrows(NpzException.class, () -> NpyArray.of(Path.of("a.npy"), cut), "cut at " + length);
        }
        byte[] longer = Arrays.copyOf(whole, whole.length + 1);
        Refusal.assertRefused(NpzException.class, () -> NpyArray.of(Path.of("a.npy"), longer), "a.npy", "17 bytes");
    }

    @Test
    void bytesOfAFileOfTorchAreThoseOfItsTensor() throws IOException {
        Path file = folder.resolve("a.pt");
        try (TensorScope scope = TensorScope.open()) {
            Tensor tensor = Torch.of(new float[] {1, 2, 3, 4}, 2, 2);
            PyTorchWriter.write(
                    file, List.of(new OutgoingTensor.Deferred("a", DType.FLOAT32, tensor.shape(), () -> tensor)));
        }
        PyTorchFile closed;
        try (PyTorchFile open = PyTorchFile.open(file)) {
            assertArrayEquals(new float[] {1, 2, 3, 4}, open.bytes("a").toArray(ValueLayout.JAVA_FLOAT_UNALIGNED));
            Refusal.assertRefused(() -> open.bytes("b"), "'b'", "view()");
            assertEquals(Map.of(), open.unreadable());
            closed = open;
        }
        assertThrows(IllegalStateException.class, () -> closed.bytes("a"));
    }
}
