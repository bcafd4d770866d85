package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

class LiveTensorsTest {
    private static String message() {
        TensorException large = assertThrows(TensorException.class, () -> Torch.zeros(1L << 50));
        assertTrue(large.isOutOfMemory(), large.getMessage());
        return String.valueOf(large.getMessage());
    }

    /** Also those of scopes around the innermost one, and those that were kept out of all scopes. */
    @Test
    void theLargestTensorsAreNamedFirst() {
        try (TensorScope outer = TensorScope.open();
                Tensor kept =
                        Torch.empty(DType.BFLOAT16, Device.CPU, 1L << 26, 7).retain()) {
            Tensor freed = Torch.empty(DType.FLOAT32, Device.CPU, 1L << 25);
            Torch.empty(DType.FLOAT32, Device.CPU, 3, 1L << 24);
            Torch.empty(DType.FLOAT32, Device.CPU, 3, 1L << 24);
            try (TensorScope inner = TensorScope.open()) {
                Torch.empty(DType.FLOAT32, Device.CPU, 1L << 26);
                freed.close();
                String message = message();
                int first = message.indexOf("1 x bfloat16[67108864, 7] on cpu 896 MiB");
                int second = message.indexOf(", 2 x float32[3, 16777216] on cpu 384 MiB");
                int third = message.indexOf(", 1 x float32[67108864] on cpu 256 MiB");
                assertTrue(0 < first && first < second && second < third, message);
                assertFalse(message.contains("33554432"), message);
                assertTrue(
                        message.contains("All threads hold " + NativeMemory.liveTensors() + " tensors, "
                                + FreeMemory.text(NativeMemory.liveBytes())),
                        message);
                assertTrue(message.contains("-Dorg.metaflowmaps.leaks=trace"), message);
                assertEquals(1, message.lines().count(), message);
            }
            kept.close();
            assertFalse(message().contains("bfloat16[67108864, 7]"), "closed");
        }
    }

    /** Its scopes may change meanwhile, so only the totals count them. */
    @Test
    void tensorsOfOtherThreadsAreOnlyCounted() throws InterruptedException {
        try (TensorScope scope = TensorScope.open()) {
            Torch.empty(DType.FLOAT32, Device.CPU, 11, 1L << 22);
            long live = NativeMemory.liveTensors();
            AtomicReference<String> message = new AtomicReference<>("");
            Thread other = new Thread(() -> {
                try (TensorScope own = TensorScope.open()) {
                    message.set(message());
                }
            });
            other.start();
            other.join();
            assertFalse(message.get().contains("[11, 4194304]"), message.get());
            assertTrue(message.get().contains("All threads hold " + live + " tensors"), message.get());
        }
    }

    @Test
    void aPlaceIsTheFirstCallerOutsideOfTheRuntime() {
        Throwable made = new Throwable();
        made.setStackTrace(new StackTraceElement[] {
            new StackTraceElement("org.metaflowmaps.runtime.Tensor", "adopt", "Tensor.java", 80),
            new StackTraceElement("java.util.Optional", "map", "Optional.java", 260),
            new StackTraceElement("org.metaflowmaps.runtime.kernel.GatedNorm", "forward", "GatedNorm.java", 120),
            new StackTraceElement("org.example.Mine", "run", "Mine.java", 7),
            new StackTraceElement("org.example.Mine", "main", "Mine.java", 3),
        });
        assertEquals(" made at Mine.java:7", LiveTensors.place(made));
        assertEquals("", LiveTensors.place(null));
    }
}
