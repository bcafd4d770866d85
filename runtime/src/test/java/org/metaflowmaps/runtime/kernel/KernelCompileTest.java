package org.metaflowmaps.runtime.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.bindings.Availability;
import org.metaflowmaps.bindings.Nvrtc;

/** Kernels compile for every architecture that libtorch's CUDA build has code for, without a GPU. */
class KernelCompileTest {
    /**
     * Registers per thread of kernels that wait for memory, so that a multiprocessor of 65536 has enough threads: at least 256 of those
     * that hold a row in a warp, and 576 of the backward kernel.
     */
    private static final Map<String, Integer> MOST_REGISTERS = Map.of(
            "norm_forward", 255,
            "norm_tangent", 255,
            "norm_backward", 113,
            "norm_backward_sums", 64,
            "adam_scalars", 64,
            "adam_update", 64,
            "attention_tangent", 255,
            "gelu_tangent", 64,
            "gelu_backward", 64);

    private static void requireCompiler() {
        assumeTrue(
                Nvrtc.availability().present(),
                () -> Nvrtc.availability() instanceof Availability.Missing missing ? missing.reason() : "");
    }

    @ParameterizedTest
    @ValueSource(strings = {"sm_80", "sm_90", "sm_100", "sm_120"})
    void kernelsNeedNoMemoryForRegisters(String architecture) {
        check(CompiledKernels.LARGEST, architecture);
    }

    @ParameterizedTest
    @Tag("soak")
    @ValueSource(strings = {"sm_80", "sm_90", "sm_100", "sm_120"})
    void otherSizesNeedNone(String architecture) {
        check(CompiledKernels.OTHERS, architecture);
    }

    private static void check(List<KernelProgram> programs, String architecture) {
        requireCompiler();
        for (KernelProgram program : programs) {
            List<CompiledKernels.Resources> kernels = CompiledKernels.compile(program, architecture);
            assertFalse(kernels.isEmpty(), program.toString());
            for (CompiledKernels.Resources kernel : kernels) {
                assertEquals(0, kernel.spilled(), kernel.toString());
                assertTrue(kernel.registers() <= MOST_REGISTERS.getOrDefault(kernel.kernel(), 0), kernel.toString());
                // Larger blocks need a special launch attribute.
                assertTrue(kernel.shared() <= 48 * 1024, kernel.toString());
            }
        }
    }

    @Test
    void theCacheKeepsMachineCode(@TempDir Path folder) {
        requireCompiler();
        KernelProgram program = KernelProgram.of("gelu", Map.of("ELEMENT", "float"));
        CubinCache cache = new CubinCache(folder, Nvrtc.version());
        byte[] compiled =
                cache.get(program, "sm_90", wanted -> wanted.compile("sm_90").image());
        assertTrue(Arrays.equals(new byte[] {0x7f, 'E', 'L', 'F'}, Arrays.copyOf(compiled, 4)));
        byte[] stored = cache.get(program, "sm_90", wanted -> new byte[0]);
        assertTrue(Arrays.equals(compiled, stored));
    }

    @Test
    void theLogOfTheCompilerIsUnderstood() {
        String log = """
            ptxas info    : 0 bytes gmem
            ptxas info    : Compiling entry function 'first' for 'sm_90'
            ptxas info    : Function properties for first
                16 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads
            ptxas info    : Used 72 registers, used 0 barriers
            ptxas info    : Compiling entry function 'second' for 'sm_90'
            ptxas info    : Function properties for second
                0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
            ptxas info    : Used 30 registers, used 1 barriers, 144 bytes smem
            """;
        assertEquals(
                List.of(
                        new CompiledKernels.Resources("p", "first", 72, 16, 12, 0),
                        new CompiledKernels.Resources("p", "second", 30, 0, 0, 144)),
                CompiledKernels.parse("p", log));
    }
}
