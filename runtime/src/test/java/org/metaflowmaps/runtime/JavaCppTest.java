package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.metaflowmaps.runtime.Refusal.illegalState;

import org.junit.jupiter.api.Test;

/** Two objects that share memory, and the freeing of that memory. */
class JavaCppTest {
    @Test
    void bothSeeTheSameMemory() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor tensor = Torch.zeros(2);
            Tensor again = JavaCpp.wrap(JavaCpp.unwrap(tensor));
            again.fill_(3);
            assertArrayEquals(new double[] {3, 3}, tensor.toDoubleArray());
        }
    }

    @Test
    void aWrappedTensorOutlivesTheObjectItCameFrom() {
        try (TensorScope scope = TensorScope.open()) {
            org.bytedeco.pytorch.Tensor raw =
                    JavaCpp.unwrap(Torch.of(new double[] {1, 2})).add(JavaCpp.unwrap(Torch.of(new double[] {3, 4})));
            Tensor tensor = JavaCpp.wrap(raw);
            raw.close();
            assertArrayEquals(new double[] {4, 6}, tensor.toDoubleArray());
        }
    }

    @Test
    void aWrappedObjectOutlivesItsTensor() {
        try (TensorScope scope = TensorScope.open();
                org.bytedeco.pytorch.Tensor raw =
                        JavaCpp.unwrap(Torch.of(new double[] {1, 2})).neg()) {
            JavaCpp.wrap(raw).close();
            assertEquals(-3, raw.sum().item_double());
        }
    }

    @Test
    void whatWasFreedIsRefused() {
        try (TensorScope scope = TensorScope.open()) {
            org.bytedeco.pytorch.Tensor raw = JavaCpp.unwrap(Torch.zeros(2)).neg();
            raw.close();
            illegalState("was closed", () -> JavaCpp.wrap(raw));
            Tensor tensor = Torch.zeros(2);
            tensor.close();
            illegalState("was freed", () -> JavaCpp.unwrap(tensor));
        }
    }
}
