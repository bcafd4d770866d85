package org.metaflowmaps.runtime.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** On the CPU a step runs as it is. */
final class StepGraphTest {
    @Test
    void theCpuRunsEveryStep() {
        try (TensorScope scope = TensorScope.open();
                StepGraph graphs = new StepGraph(Device.CPU, 1)) {
            for (int i = 0; i < 6; i++) {
                Tensor input = Torch.of(new float[] {i, 1});
                Tensor result = graphs.run(
                                "sum",
                                List.of(input),
                                inputs -> List.of(inputs.get(0).add(1)))
                        .getFirst();
                assertArrayEquals(new float[] {i + 1, 2}, result.toFloatArray());
            }
            assertEquals(0, graphs.captures());
            assertEquals(Optional.empty(), graphs.refusal());
            assertThrows(
                    ArithmeticException.class,
                    () -> graphs.run("sum", List.of(), inputs -> {
                        throw new ArithmeticException();
                    }));
        }
    }

    @Test
    void theCacheHoldsAtLeastOneGraph() {
        assertThrows(IllegalArgumentException.class, () -> new StepGraph(Device.CPU, 0));
    }
}
