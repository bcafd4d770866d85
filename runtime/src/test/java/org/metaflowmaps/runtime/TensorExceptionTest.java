package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;
import static org.metaflowmaps.runtime.Refusal.illegalArgument;
import static org.metaflowmaps.runtime.Refusal.refused;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.metaflowmaps.bindings.Libtorch;
import org.metaflowmaps.bindings.LibtorchText;

class TensorExceptionTest {
    private static final String MISMATCH = "The size of tensor a (3) must match the size of tensor b (4)";

    @Test
    void knowsThatMemoryWasShort() {
        try (TensorScope scope = TensorScope.open()) {
            TensorException large = assertThrows(TensorException.class, () -> Torch.zeros(1L << 50));
            assertTrue(large.isOutOfMemory(), large.getMessage());
            TensorException shapes =
                    assertThrows(TensorException.class, () -> Torch.zeros(3).add(Torch.zeros(4)));
            assertFalse(shapes.isOutOfMemory(), shapes.getMessage());
        }
    }

    private record Failure(List<String> parts, Executable action) {}

    @Test
    void namesTheOperationItsOperandsAndLibtorchsReason() {
        List<Failure> failures = new ArrayList<>();
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1)) {
            Tensor x = Torch.zeros(2, 3);
            Tensor y = Torch.zeros(DType.INT64, Device.CPU, 4);
            failures.add(new Failure(List.of("add failed on float32[2, 3] and int64[4]: ", MISMATCH), () -> x.add(y)));
            failures.add(
                    new Failure(List.of("add_ failed on float32[2, 3] and int64[4]: ", MISMATCH), () -> x.add_(y)));
            failures.add(new Failure(List.of("matmul failed on float32[2, 3] and int64[4]: "), () -> x.matmul(y)));
            failures.add(
                    new Failure(List.of("view failed on float32[2, 3]: ", "shape '[5]' is invalid"), () -> x.view(5)));
            failures.add(new Failure(List.of("mul_ failed on int64[4]: ", "can't be cast"), () -> y.mul_(0.5)));
            failures.add(
                    new Failure(List.of("sum failed on float32[2, 3]: ", "Dimension out of range"), () -> x.sum(2)));
            failures.add(new Failure(List.of("chunk failed on float32[2, 3]: ", "chunk"), () -> x.chunk(0, 0)));
            failures.add(
                    new Failure(List.of("sort failed on float32[2, 3]: ", "Dimension out of range"), () -> x.sort(7)));
            failures.add(new Failure(List.of("cat failed on float32[2, 3] and int64[4]: "), () -> Torch.cat(0, x, y)));
            failures.add(new Failure(
                    List.of("softmaxBackward failed on float32[2, 3] and float32[2, 3]: ", "Dimension out of range"),
                    () -> Torch.softmaxBackward(x, x, 5)));
            failures.add(new Failure(List.of("normal failed: ", "memory"), () -> random.normal(1L << 50)));
            failures.add(new Failure(List.of("silu failed on int64[4]: "), () -> Torch.silu(y)));
            failures.add(new Failure(List.of("categorical failed on float32[2, 3]: "), () -> random.categorical(x, 3)));
            failures.add(
                    new Failure(List.of("restoring a random state failed on int64[4]: "), () -> random.restore(y)));
            failures.add(new Failure(List.of("backward failed on float32[2, 3]: "), () -> Autograd.backward(x)));
            failures.add(new Failure(
                    List.of("gradients failed on float32[]: ", "does not require grad"),
                    () -> Autograd.gradients(x.sum(), List.of(x))));
            for (Failure failure : failures) {
                String message = "";
                for (String part : failure.parts) {
                    message = refused(TensorException.class, part, failure.action);
                }
                assertFalse(message.contains("Exception raised from"), message);
                assertFalse(message.contains("frame #"), message);
                assertFalse(message.contains(".so"), message);
                assertEquals(1, message.lines().count(), message);
                assertFalse(message.contains(".cpp"), message);
                assertFalse(message.contains("org.bytedeco"), message);
            }
        }
    }

    @Test
    void libtorchsTextIsCutToItsSentence() {
        Map<String, String> texts = Map.of(
                """
                shape is wrong
                Exception raised from x at /a/b.cpp:7 (most recent call first):
                frame #0: f() (libc10.so)\
                """,
                "shape is wrong",
                "x INTERNAL ASSERT FAILED at \"/pytorch/c10/x.cpp\":12, please report",
                "x INTERNAL ASSERT FAILED, please report",
                "Could not run 'aten::x'.\n  It is rare.\n\nCPU: registered at /pytorch/build/x.cpp:3",
                "Could not run 'aten::x'. It is rare.",
                "[enforce fail at alloc_cpu.cpp:127] err == 0. no room",
                "no room",
                "",
                "libtorch gave no reason");
        texts.forEach((text, sentence) -> assertEquals(sentence, LibtorchText.sentence(text)));
    }

    @Test
    @SuppressWarnings("NullAway") // null is tested
    void aNullOperandIsNamed() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1)) {
            Tensor x = Torch.zeros(2);
            refused(NullPointerException.class, "add: the second operand is null", () -> x.add((Tensor) null));
            refused(NullPointerException.class, "add_: the second operand is null", () -> x.add_((Tensor) null));
            refused(
                    NullPointerException.class,
                    "where: the third operand is null",
                    () -> Torch.where(x.eq(0), x, null));
            refused(NullPointerException.class, "linear: the first operand is null", () -> Torch.linear(null, x));
            refused(NullPointerException.class, "is null", () -> x.lerp(x, null));
            refused(NullPointerException.class, "cat: tensor 1 of the 2 operands is null", () -> Torch.cat(0, x, null));
            refused(NullPointerException.class, "siluBackward: gradient is null", () -> Torch.siluBackward(null, x));
            refused(NullPointerException.class, "reshape: shape is null", () -> x.reshape((long[]) null));
            refused(NullPointerException.class, "sum: dims is null", () -> x.sum((long[]) null));
            refused(
                    NullPointerException.class,
                    "categorical: the first operand is null",
                    () -> random.categorical(null, 1));
        }
    }

    @Test
    void aGpuAskedOfACpuBuildIsRefusedInOneLine() {
        assumeFalse(Libtorch.info().cudaBuild());
        Device gpu = Device.cuda(0);
        try (TensorScope scope = TensorScope.open()) {
            List<Executable> uses = List.of(
                    () -> Torch.zeros(DType.FLOAT32, gpu, 2),
                    () -> Torch.zeros(2).to(gpu),
                    () -> RandomSource.seeded(1, gpu),
                    () -> new ParameterArena(Map.of("w", Shape.of(1)), gpu).close(),
                    gpu::available);
            for (Executable use : uses) {
                String message = refused(
                        IllegalArgumentException.class,
                        "cuda:0 cannot be used: this libtorch was built without CUDA",
                        use);
                assertEquals(1, message.lines().count(), message);
            }
        }
    }

    @Test
    void argumentsAreCheckedBeforeLibtorchSeesThem() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1)) {
            illegalArgument("shape [2, -1] has a negative size", () -> Torch.zeros(2, -1));
            illegalArgument(
                    "size(2) of a tensor with shape [1, 1]",
                    () -> Torch.zeros(1, 1).size(2));
            illegalArgument(
                    "item() needs one element, this is Tensor(float32[2] on cpu",
                    () -> Torch.zeros(2).item());
            illegalArgument("integers from 3 to below 3", () -> random.integers(3, 3, 1));
            illegalArgument("no inputs", () -> Autograd.gradients(Torch.zeros(), List.of()));
            illegalArgument("'tpu' is not a device", () -> Device.parse("tpu"));
            illegalArgument("cuda:63 cannot be used", () -> Device.cuda(63).available());
            illegalArgument("is not supported here", () -> DType.ofCode(9));
            illegalArgument("negative size", () -> new ParameterArena(Map.of("w", Shape.of(-1)), Device.CPU).close());
        }
    }

    @Test
    void tensorsDescribeThemselves() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor tensor = Torch.zeros(DType.BFLOAT16, Device.CPU, 2, 0, 3);
            assertEquals("Tensor(bfloat16[2, 0, 3] on cpu)", tensor.toString());
            assertEquals(
                    List.of(3L, 0L, 3L, 0L),
                    List.of((long) tensor.dim(), tensor.numel(), tensor.size(-1), tensor.size(1)));
            assertEquals(Device.CPU, Device.parse("cpu"));
            assertEquals(Device.cuda(1), Device.parse("cuda:1"));
            assertEquals(Device.cuda(0), Device.parse("cuda"));
        }
    }
}
