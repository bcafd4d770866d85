package org.metaflowmaps.runtime;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.metaflowmaps.runtime.Refusal.illegalArgument;
import static org.metaflowmaps.runtime.Refusal.illegalState;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.file.OutgoingTensor;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.SafetensorsFile;
import org.metaflowmaps.runtime.file.TensorFile;

/** Java and libtorch see each other's writes, in each way to share memory. */
class ZeroCopyTest {
    @TempDir
    Path folder;

    @Test
    void aTensorLiesOnJavasMemory() {
        try (Arena arena = Arena.ofConfined();
                TensorScope scope = TensorScope.open()) {
            MemorySegment memory = arena.allocateFrom(JAVA_FLOAT, 1, 2, 3, 4, 5, 6);
            Tensor tensor = Torch.of(memory, DType.FLOAT32, 2, 3);
            memory.setAtIndex(JAVA_FLOAT, 4, -50);
            assertArrayEquals(new float[] {1, 2, 3, 4, -50, 6}, tensor.toFloatArray());
            tensor.select(1, 2).mul_(10);
            assertArrayEquals(new float[] {1, 2, 30, 4, -50, 60}, memory.toArray(JAVA_FLOAT));
            tensor.close();
            assertEquals(60, memory.getAtIndex(JAVA_FLOAT, 5));
        }
    }

    @Test
    void aSegmentLiesOnATensorsMemory() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor tensor = Torch.of(new long[] {1, 2, 3, 4}, 2, 2);
            MemorySegment memory = tensor.segment();
            assertEquals(32, memory.byteSize());
            tensor.select(0, 1).fill_(9);
            assertArrayEquals(new long[] {1, 2, 9, 9}, memory.toArray(JAVA_LONG));
            memory.setAtIndex(JAVA_LONG, 0, -7);
            assertArrayEquals(new long[] {-7, 2, 9, 9}, tensor.toLongArray());
            // A view begins inside its base's memory.
            tensor.select(0, 1).segment().setAtIndex(JAVA_LONG, 1, 5);
            assertArrayEquals(new long[] {-7, 2, 9, 5}, tensor.toLongArray());
        }
    }

    @Test
    void aSafetensorsViewLiesOnTheMappedFile() throws IOException {
        Path path = folder.resolve("weights.safetensors");
        try (TensorScope scope = TensorScope.open()) {
            Safetensors.write(
                    path, Map.of(), Map.of("w", Torch.of(new float[] {1, 2, 3}), "n", Torch.of(new long[] {4}, 1)));
        }
        byte[] before = Files.readAllBytes(path);
        try (SafetensorsFile file = SafetensorsFile.open(path);
                TensorScope scope = TensorScope.open()) {
            Tensor view = Safetensors.view(file, "w");
            assertArrayEquals(new float[] {1, 2, 3}, view.toFloatArray());
            file.bytes("w").setAtIndex(JAVA_FLOAT, 0, 10);
            assertArrayEquals(new float[] {10, 2, 3}, view.toFloatArray());
            view.add_(1);
            assertArrayEquals(new float[] {11, 3, 4}, file.bytes("w").toArray(JAVA_FLOAT));
            assertArrayEquals(
                    new float[] {11, 3, 4}, Safetensors.view(file, "w").toFloatArray());
            assertEquals(file.bytes("w").address(), view.segment().address());
            assertEquals(4, Safetensors.view(file, "n").item());
        }
        assertArrayEquals(before, Files.readAllBytes(path));
    }

    /** Views keep the file mapped; Java's access ends when it is closed. */
    @Test
    void aViewOutlivesItsFile() throws IOException {
        for (String name : List.of("weights.safetensors", "weights.pt")) {
            Path path = folder.resolve(name);
            try (TensorScope scope = TensorScope.open()) {
                Tensor values = Torch.arange(100_000);
                TensorFile.write(
                        path,
                        Map.of(),
                        List.of(new OutgoingTensor.Deferred("w", DType.INT64, Shape.of(100_000), () -> values)));
                TensorFile file = TensorFile.open(path);
                Tensor part = file.view("w").narrow(0, 50_000, 50_000);
                MemorySegment bytes = file instanceof SafetensorsFile mapped ? mapped.bytes("w") : null;
                file.close();
                file.close();
                assertEquals(99_999, part.max().item());
                illegalState("is closed", () -> file.view("w"));
                if (bytes != null) {
                    assertThrows(IllegalStateException.class, () -> bytes.get(JAVA_LONG, 0));
                }
            }
        }
    }

    @Test
    void readOnlyMemoryIsRefusedOrCopied() {
        try (Arena arena = Arena.ofConfined();
                TensorScope scope = TensorScope.open()) {
            MemorySegment memory = arena.allocateFrom(JAVA_FLOAT, 1, 2, 3).asReadOnly();
            illegalArgument(
                    "read-only segment, because libtorch may write to it: copy with Torch.copyOf",
                    () -> Torch.of(memory, DType.FLOAT32, 3));
            Tensor copy = Torch.copyOf(memory, DType.FLOAT32, 3);
            assertArrayEquals(new float[] {2, 3, 4}, copy.add_(1).toFloatArray());
            assertArrayEquals(new float[] {1, 2, 3}, memory.toArray(JAVA_FLOAT));
            // Bytes at any address can be copied.
            MemorySegment crooked = arena.allocate(13).asSlice(1, 12);
            assertArrayEquals(
                    new float[3], Torch.copyOf(crooked, DType.FLOAT32, 3).toFloatArray());
            illegalArgument("needs exactly 8", () -> Torch.copyOf(memory, DType.FLOAT32, 2));
            assertEquals(2, scope.size());
        }
    }

    @Test
    void aTensorOnAClosedArenaIsRefused() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor tensor;
            List<Tensor> views;
            Tensor copy;
            try (Arena arena = Arena.ofShared()) {
                tensor = Torch.of(arena.allocateFrom(JAVA_FLOAT, 1, 2, 3, 4), DType.FLOAT32, 2, 2);
                views = List.of(
                        tensor.view(4),
                        tensor.select(0, 1).unsqueeze(0),
                        tensor.chunk(2, 0)[1],
                        tensor.detach().permute(1, 0),
                        tensor.contiguous(),
                        tensor.to(DType.FLOAT32).expand(3, 2, 2),
                        tensor.asStrided(new long[] {1}, new long[] {1}));
                copy = tensor.add(1);
            }
            illegalState("the arena that Torch.of got it from was closed", tensor::toFloatArray);
            for (Tensor view : views) {
                illegalState("the arena that Torch.of got it from was closed", view::toFloatArray);
                illegalState("the arena that Torch.of got it from was closed", () -> copy.add(view));
                assertEquals("Tensor(freed)", view.toString());
            }
            assertArrayEquals(new float[] {2, 3, 4, 5}, copy.toFloatArray());
        }
    }

    @Test
    void memoryOfAClosedArenaIsRefused() {
        MemorySegment memory;
        try (Arena arena = Arena.ofConfined()) {
            memory = arena.allocate(8, 8);
        }
        try (TensorScope scope = TensorScope.open()) {
            illegalState("its arena is closed", () -> Torch.of(memory, DType.FLOAT32, 2));
            assertThrows(IllegalStateException.class, () -> Torch.copyOf(memory, DType.FLOAT32, 2));
        }
    }

    @Test
    void everyElementTypeSurvivesAFile() throws IOException {
        Path path = folder.resolve("types.safetensors");
        try (TensorScope scope = TensorScope.open()) {
            for (DType type : DType.values()) {
                Tensor original = Torch.of(new float[] {0, 1, 1, 0, 1, 1}, 2, 3).to(type);
                Safetensors.write(
                        path,
                        Map.of(),
                        Map.of("t", original.transpose(0, 1), "none", Torch.empty(type, Device.CPU, 0, 2)));
                try (SafetensorsFile file = SafetensorsFile.open(path);
                        TensorScope inner = TensorScope.open()) {
                    Tensor read = Safetensors.view(file, "t");
                    assertEquals(type, read.dtype());
                    assertEquals(Shape.of(3, 2), read.shape());
                    assertArrayEquals(new double[] {0, 0, 1, 1, 1, 1}, read.toDoubleArray());
                    assertEquals(Shape.of(0, 2), Safetensors.view(file, "none").shape());
                }
            }
        }
    }

    @Test
    void memoryThatCannotHoldTheTensorIsRefused() {
        try (Arena arena = Arena.ofConfined();
                TensorScope scope = TensorScope.open()) {
            MemorySegment memory = arena.allocate(33, 8);
            illegalArgument("heap memory", () -> Torch.of(MemorySegment.ofArray(new float[2]), DType.FLOAT32, 2));
            illegalArgument("needs exactly 12", () -> Torch.of(memory.asSlice(0, 16), DType.FLOAT32, 3));
            illegalArgument("not a multiple of 4", () -> Torch.of(memory.asSlice(1, 16), DType.FLOAT32, 4));
            illegalArgument("negative size", () -> Torch.of(memory, DType.FLOAT32, -1));
            illegalArgument("4 values do not fill shape [2, 3]", () -> Torch.of(new float[4], 2, 3));
            assertEquals(0, scope.size());
        }
    }

    @Test
    void memoryThatASegmentCannotShowIsRefused() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor turned = Torch.zeros(2, 3).transpose(0, 1);
            illegalState("call contiguous() first", turned::segment);
        }
    }

    @Test
    void valuesThatJavaGetsAreCounted() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor tensor = Torch.zeros(1);
            long before = HostReads.count();
            tensor.add(1).mul(2).to(Device.CPU).copy_(tensor);
            assertEquals(before, HostReads.count());
            tensor.item();
            tensor.segment();
            tensor.toFloatArray();
            tensor.toDoubleArray();
            tensor.toLongArray();
            assertEquals(before + 5, HostReads.count());
        }
    }
}
