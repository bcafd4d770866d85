package org.metaflowmaps.runtime.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.metaflowmaps.runtime.Device;

class OperationCheckTest extends HostTest {
    private static KernelProgram norm(String name, String branch, String gated) {
        return KernelProgram.of(
                name,
                Map.of("WIDTH", "128", "STREAM", "float", "BRANCH", branch, "MODULATION", "float", "GATED", gated));
    }

    static Stream<Arguments> programs() {
        return Stream.of(
                Arguments.of(norm("norm", "float", "1"), "norm_forward"),
                Arguments.of(norm("norm", "bf16", "1"), "norm_backward"),
                Arguments.of(norm("norm", "float", "0"), "norm_backward_sums"),
                Arguments.of(norm("norm_tangent", "float", "1"), "norm_tangent"),
                Arguments.of(norm("norm_tangent", "bf16", "1"), "norm_tangent"),
                Arguments.of(KernelProgram.of("gelu", Map.of("ELEMENT", "float")), "gelu_tangent"),
                Arguments.of(KernelProgram.of("gelu", Map.of("ELEMENT", "bf16")), "gelu_backward"),
                Arguments.of(KernelProgram.of("attention_tangent", Map.of("HEAD", "64")), "attention_tangent"),
                Arguments.of(
                        KernelProgram.of("attention_tangent_plain", Map.of("HEAD", "32", "ELEMENT", "float")),
                        "attention_tangent"));
    }

    /** Passes a launch on, except that of one kernel. */
    private record Without(Kernels kernels, String missing) implements Kernels {
        @Override
        public boolean holds(Device device) {
            return kernels.holds(device);
        }

        @Override
        public Optional<Launcher> launcher(KernelProgram program) {
            return kernels.launcher(program).map(right -> (kernel, grid, block, arguments) -> {
                if (!kernel.equals(missing)) {
                    right.launch(kernel, grid, block, arguments);
                }
            });
        }
    }

    @ParameterizedTest
    @MethodSource("programs")
    void rightProgramsAreUsedAndOthersNot(KernelProgram program, String kernel) {
        assertTrue(new CheckedKernels(host(), Device.CPU).launcher(program).isPresent());
        assertFalse(new CheckedKernels(new Without(host(), kernel), Device.CPU)
                .launcher(program)
                .isPresent());
    }

    @Test
    void aProgramIsComparedOnce() {
        CheckedKernels checked = new CheckedKernels(host(), Device.CPU);
        KernelProgram program = norm("norm", "float", "1");
        assertTrue(checked.launcher(program).isPresent());
        int launches = host().launches();
        assertTrue(checked.launcher(program).isPresent());
        assertEquals(launches, host().launches());
    }
}
