package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.metaflowmaps.runtime.Refusal.illegalArgument;
import static org.metaflowmaps.runtime.Refusal.refused;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

class TensorExceptionTest {
    private static final String MISMATCH = "The size of tensor a (3) must match the size of tensor b (4)";

    private record Failure(List<String> parts, Executable action) {}

    @Test
    void namesTheOperationItsOperandsAndLibtorchsReason() {
        List<Failure> failures = new ArrayList<>();
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1)) {
            Tensor x = Torch.zeros(2, 3);
            Tensor y = Torch.zeros(DType.INT64, Device.CPU, 4);
            failures.add(new Failure(List.of("add failed on float32[2, 3] and int64[4]: ", MISMATCH), () -> x.add(y)));
            failures.add(new Failure(List.of("add_ failed on float32[2, 3] and int64[4]: ", MISMATCH), () -> x.add_(y)));
            failures.add(new Failure(List.of("matmul failed on float32[2, 3] and int64[4]: "), () -> x.matmul(y)));
            failures.add(new Failure(List.of("view failed on float32[2, 3]: ", "shape '[5]' is invalid"), () -> x.view(5)));
            failures.add(new Failure(List.of("mul_ failed on int64[4]: ", "can't be cast"), () -> y.mul_(0.5)));
            failures.add(new Failure(List.of("sum failed on float32[2, 3]: ", "Dimension out of range"), () -> x.sum(false, 2)));
            failures.add(new Failure(List.of("chunk failed on float32[2, 3]: ", "chunk"), () -> x.chunk(0, 0)));
            failures.add(new Failure(List.of("sort failed on float32[2, 3]: ", "Dimension out of range"), () -> x.sort(7)));
            failures.add(new Failure(List.of("cat failed on float32[2, 3] and int64[4]: "), () -> Torch.cat(0, x, y)));
            failures.add(new Failure(List.of("softmaxBackward failed on float32[2, 3] and float32[2, 3]: ", "Dimension out of range"),
                    () -> Torch.softmaxBackward(x, x, 5)));
            failures.add(new Failure(List.of("fusedAdamW_ failed on float32[2, 3] and int64[4] and "),
                    () -> Torch.fusedAdamW_(x, y, x, x, Torch.scalar(1), new Torch.AdamRates(1, 0.9, 0.9, 0, 1))));
            failures.add(new Failure(List.of("normal failed: "), () -> random.normal(-1)));
            failures.add(new Failure(List.of("categorical failed on float32[2, 3]: "), () -> random.categorical(x, 3)));
            failures.add(new Failure(List.of("restoring a random state failed on int64[4]: "), () -> random.restore(y)));
            failures.add(new Failure(List.of("backward failed on float32[2, 3]: "), () -> Autograd.backward(x)));
            failures.add(new Failure(List.of("gradients failed on float32[]: ", "does not require grad"),
                    () -> Autograd.gradients(x.sum(), List.of(x))));
            for (Failure failure : failures) {
                String message = "";
                for (String part : failure.parts) {
                    message = refused(TensorException.class, part, failure.action);
                }
                assertFalse(message.contains("Exception raised from"), message);
                assertFalse(message.contains("frame #"), message);
                assertFalse(message.contains(".so"), message);
            }
        }
    }

    @Test
    void argumentsAreCheckedBeforeLibtorchSeesThem() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1)) {
            illegalArgument("shape [2, -1] has a negative size", () -> Torch.zeros(2, -1));
            illegalArgument("size(2) of a tensor with shape [1, 1]", () -> Torch.zeros(1, 1).size(2));
            illegalArgument("item() needs one element, this is Tensor(float32[2] on cpu", () -> Torch.zeros(2).item());
            illegalArgument("integers from 3 to below 3", () -> random.integers(3, 3, 1));
            illegalArgument("no inputs", () -> Autograd.gradients(Torch.zeros(), List.of()));
            illegalArgument("'tpu' is no device", () -> Device.parse("tpu"));
            illegalArgument("cuda:63 cannot be used", () -> Device.cuda(63).available());
            illegalArgument("is not supported here", () -> DType.ofCode(9));
            illegalArgument("negative size", () -> new ParameterArena(Map.of("w", new long[] {-1}), Device.CPU).close());
        }
    }

    @Test
    void tensorsDescribeThemselves() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor tensor = Torch.zeros(DType.BFLOAT16, Device.CPU, 2, 0, 3);
            assertEquals("Tensor(bfloat16[2, 0, 3] on cpu)", tensor.toString());
            assertEquals(List.of(3L, 0L, 3L, 0L), List.of((long) tensor.dim(), tensor.numel(), tensor.size(-1), tensor.size(1)));
            assertEquals(Device.CPU, Device.parse("cpu"));
            assertEquals(Device.cuda(1), Device.parse("cuda:1"));
            assertEquals(Device.cuda(0), Device.parse("cuda"));
        }
    }
}
