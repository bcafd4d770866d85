package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static org.metaflowmaps.runtime.Refusal.illegalState;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.FutureTask;
import org.junit.jupiter.api.Test;

class AutocastTest {
    private static final Path STATUS = Path.of("/proc/self/status");
    private static final int COPIES = 50;
    private static final Device.Type CPU = Device.Type.CPU;

    private static boolean isOn() {
        return Autocast.isOn(CPU);
    }

    @Test
    void modesNestAndRestoreWhatTheyFound() {
        assertFalse(isOn());
        try (Autocast on = Autocast.bfloat16(CPU)) {
            assertTrue(isOn());
            assertFalse(Autocast.isOn(Device.Type.CUDA));
            try (Autocast off = Autocast.off(CPU)) {
                assertFalse(isOn());
                try (Autocast again = Autocast.bfloat16(CPU)) {
                    assertTrue(isOn());
                }
                assertFalse(isOn());
                off.close();
                assertTrue(isOn());
            }
            assertTrue(isOn());
        }
        assertFalse(isOn());
        assertThrows(IllegalCallerException.class, () -> {
            try (Autocast on = Autocast.bfloat16(CPU)) {
                throw new IllegalCallerException();
            }
        });
        assertFalse(isOn());
        try (Autocast on = Autocast.bfloat16(Device.Type.CUDA)) {
            assertTrue(Autocast.isOn(Device.Type.CUDA));
            assertFalse(isOn());
        }
        assertFalse(Autocast.isOn(Device.Type.CUDA));
    }

    @Test
    void modesBelongToTheirThread() throws Exception {
        try (Autocast on = Autocast.bfloat16(CPU)) {
            FutureTask<Boolean> other = new FutureTask<>(() -> {
                illegalState("close it there", on::close);
                return isOn();
            });
            Thread.ofPlatform().start(other);
            assertFalse(other.get());
            FutureTask<Boolean> virtual = new FutureTask<>(() -> {
                illegalState("platform threads", () -> Autocast.bfloat16(CPU).close());
                return true;
            });
            Thread.ofVirtual().start(virtual);
            assertTrue(virtual.get());
            assertTrue(isOn());
        }
    }

    @Test
    void productsAreBfloat16InsideAndFloat32Outside() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(3)) {
            Tensor x = random.normal(5, 64);
            Tensor w = random.normal(7, 64);
            Tensor b = random.normal(7);
            Tensor heads = random.normal(2, 3, 4, 8);
            Tensor exact = Torch.linear(x, w, b);
            assertEquals(DType.FLOAT32, exact.dtype());
            try (Autocast on = Autocast.bfloat16(CPU)) {
                Tensor cast = Torch.linear(x, w, b);
                assertEquals(DType.BFLOAT16, cast.dtype());
                // Each of 64 products of two rounded factors has a relative error of at most about 2^-8, and the sum is
                // rounded too.
                double bound = x.abs()
                                .matmul(w.abs().transpose(0, 1))
                                .to(DType.FLOAT32)
                                .max()
                                .item()
                        * 0x1p-7;
                double apart = cast.to(DType.FLOAT32).sub(exact).abs().max().item();
                assertTrue(apart > 0 && apart < bound, apart + " against " + bound);
                assertEquals(DType.BFLOAT16, x.matmul(w.transpose(0, 1)).dtype());
                assertEquals(
                        DType.BFLOAT16,
                        Torch.scaledDotProductAttention(heads, heads, heads.to(DType.BFLOAT16))
                                .dtype());
                assertEquals(
                        DType.FLOAT64,
                        x.to(DType.FLOAT64)
                                .matmul(w.to(DType.FLOAT64).transpose(0, 1))
                                .dtype());
                assertEquals(DType.FLOAT32, x.mul(2).add(x).dtype());
                try (Autocast off = Autocast.off(CPU)) {
                    assertArrayEquals(
                            exact.toDoubleArray(), Torch.linear(x, w, b).toDoubleArray());
                }
            }
            assertArrayEquals(exact.toDoubleArray(), Torch.linear(x, w, b).toDoubleArray());
        }
    }

    @Test
    void weightsAndTheirGradientsStayFloat32() {
        try (ParameterArena arena =
                        new ParameterArena(Map.of("weight", Shape.of(4, 6), "bias", Shape.of(4)), Device.CPU);
                TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(3)) {
            try (Autograd.Mode off = Autograd.noGrad()) {
                arena.get("weight").copy_(random.normal(4, 6));
            }
            Tensor before = arena.values().clone();
            Tensor x = random.normal(5, 6);
            Tensor loss;
            try (Autocast on = Autocast.bfloat16(CPU)) {
                loss = Torch.linear(x, arena.get("weight"), arena.get("bias"))
                        .to(DType.FLOAT32)
                        .sum();
            }
            Autograd.backward(loss);
            assertEquals(DType.FLOAT32, arena.get("weight").dtype());
            assertArrayEquals(before.toDoubleArray(), arena.values().toDoubleArray());
            assertEquals(DType.FLOAT32, arena.gradients().dtype());
            double[] expected = x.sumKeepDim(0).expand(4, 6).toDoubleArray();
            assertArrayEquals(expected, arena.view("weight", arena.gradients()).toDoubleArray(), 0.05);
            assertArrayEquals(
                    new double[] {5, 5, 5, 5},
                    arena.view("bias", arena.gradients()).toDoubleArray());
        }
    }

    /** A weight's cached copy is made at its first use; here that is in a detached target, as in several losses. */
    @Test
    void aFirstUseWithoutAGraphCutsNoLaterOneOff() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(3);
                Autocast on = Autocast.bfloat16(CPU)) {
            for (boolean inference : new boolean[] {false, true}) {
                Tensor weight = random.normal(4, 6).requiresGrad_(true);
                Tensor bias = random.normal(4).requiresGrad_(true);
                Tensor x = random.normal(5, 6);
                double[] stopped;
                try (Autograd.Mode off = inference ? Autograd.inference() : Autograd.noGrad()) {
                    Tensor target = Torch.linear(x, weight, bias);
                    assertFalse(target.requiresGrad());
                    stopped = target.toDoubleArray();
                }
                Tensor output = Torch.linear(x, weight, bias);
                assertArrayEquals(stopped, output.toDoubleArray());
                List<Tensor> gradients =
                        Autograd.gradients(output.to(DType.FLOAT32).square().sum(), List.of(weight, bias));
                assertEquals(DType.FLOAT32, gradients.getFirst().dtype());
                assertTrue(gradients.getFirst().norm().item() > 1);
                assertTrue(gradients.getLast().norm().item() > 1);
            }
        }
    }

    /** A copy kept after the outermost autocast would have the weight's old value. */
    @Test
    void theOutermostCloseForgetsTheCopies() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor weight = Torch.full(1, DType.FLOAT32, Device.CPU, 1, 2).requiresGrad_(true);
            Tensor x = Torch.full(1, DType.FLOAT32, Device.CPU, 1, 2);
            try (Autocast on = Autocast.bfloat16(CPU)) {
                assertEquals(2, Torch.linear(x, weight).item());
                try (Autograd.Mode off = Autograd.noGrad()) {
                    weight.fill_(3);
                }
                try (Autocast inner = Autocast.bfloat16(CPU)) {
                    assertEquals(
                            2,
                            Torch.linear(x, weight).item(),
                            "an inner close keeps the copies, which do not follow the weight");
                }
                assertEquals(2, Torch.linear(x, weight).item());
            }
            try (Autocast on = Autocast.bfloat16(CPU)) {
                assertEquals(6, Torch.linear(x, weight).item());
            }
        }
    }

    @Test
    void copiesAreFreedWithTheirAutocast() throws IOException {
        assumeTrue(Files.exists(STATUS), "the process's memory is read from " + STATUS);
        long tensors = NativeMemory.liveTensors();
        // Other work makes the process grow sometimes; kept copies would make it grow every time.
        long grown = Long.MAX_VALUE;
        copies(10);
        for (int repeat = 0; repeat < 3; repeat++) {
            long before = residentKilobytes();
            copies(COPIES);
            grown = Math.min(grown, residentKilobytes() - before);
        }
        assertTrue(
                grown < COPIES * 4096 / 4,
                "the process grew by " + grown + " KiB, " + COPIES + " copies have " + COPIES * 4096);
        assertEquals(tensors, NativeMemory.liveTensors());
    }

    /** Makes that many copies of 4 MiB. */
    private static void copies(int count) {
        for (int round = 0; round < count; round++) {
            try (TensorScope scope = TensorScope.open();
                    Autocast on = Autocast.bfloat16(CPU);
                    Autograd.Mode off = round % 2 == 0 ? Autograd.inference() : Autograd.noGrad()) {
                Tensor weight = Torch.zeros(2048, 1024).requiresGrad_(true);
                Torch.linear(Torch.zeros(1, 1024), weight);
            }
        }
    }

    /** Under no-grad the second use gets the first use's copy; in inference mode it gets the current weight. */
    @Test
    void copiesAreSharedOutsideOfInferenceModeOnly() {
        try (TensorScope scope = TensorScope.open();
                Autocast on = Autocast.bfloat16(CPU)) {
            Tensor x = Torch.full(1, DType.FLOAT32, Device.CPU, 1, 2);
            for (boolean inference : new boolean[] {false, true}) {
                Tensor weight = Torch.full(1, DType.FLOAT32, Device.CPU, 1, 2).requiresGrad_(true);
                try (Autograd.Mode off = inference ? Autograd.inference() : Autograd.noGrad()) {
                    assertEquals(2, Torch.linear(x, weight).item());
                    weight.fill_(3);
                    assertEquals(inference ? 6 : 2, Torch.linear(x, weight).item());
                }
            }
        }
    }

    private static long residentKilobytes() throws IOException {
        return Files.readAllLines(STATUS).stream()
                .filter(line -> line.startsWith("VmRSS:"))
                .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")))
                .sum();
    }
}
