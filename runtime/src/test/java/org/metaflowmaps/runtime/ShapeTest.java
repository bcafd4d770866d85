package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.metaflowmaps.runtime.Refusal.illegalArgument;

import org.junit.jupiter.api.Test;

/** Shapes are values, and their strides are those of libtorch's contiguous tensors. */
class ShapeTest {
    @Test
    void stridesAreLibtorchs() {
        try (TensorScope scope = TensorScope.open()) {
            for (Shape shape :
                    new Shape[] {Shape.of(), Shape.of(5), Shape.of(2, 3, 4), Shape.of(2, 0, 4), Shape.of(1, 1)}) {
                Tensor tensor = Torch.zeros(DType.FLOAT32, Device.CPU, shape);
                assertEquals(shape, tensor.shape());
                assertEquals(tensor.numel(), shape.numel());
                assertArrayEquals(org.metaflowmaps.bindings.StableAbi.strides(tensor.handle()), shape.strides());
            }
        }
    }

    @Test
    void partsAndText() {
        Shape shape = Shape.of(3, 28, 14);
        assertEquals(Shape.of(7, 2, 3, 28, 14), shape.prepend(7, 2));
        assertEquals(Shape.of(28, 14), shape.from(1));
        assertEquals(14, shape.size(-1));
        assertEquals("[3, 28, 14]", shape.toString());
        assertEquals("[]", Shape.of().toString());
    }

    @Test
    void wrongSizesAreRefused() {
        illegalArgument("[2, -1] has a negative size", () -> Shape.of(2, -1));
        illegalArgument("more elements than memory can hold", () -> Shape.of(1L << 40, 1L << 40));
        illegalArgument("size(2) of shape [3, 4]", () -> Shape.of(3, 4).size(2));
        illegalArgument("size(-3) of shape [3, 4]", () -> Shape.of(3, 4).size(-3));
    }
}
