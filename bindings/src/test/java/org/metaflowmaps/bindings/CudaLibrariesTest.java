package org.metaflowmaps.bindings;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

class CudaLibrariesTest {
    @Test
    void aLibraryThatIsAbsentIsAPlainAnswer() {
        SharedLibrary absent =
                SharedLibrary.find("The test library", "metaflowmaps_absent", "9", "metaflowmaps_absent.dll");
        Availability.Missing missing = (Availability.Missing) absent.availability();
        assertFalse(missing.present());
        assertTrue(missing.reason().contains("The test library was not found"), missing.reason());
        assertTrue(missing.reason().contains("-Dorg.metaflowmaps.library.metaflowmaps_absent=PATH"), missing.reason());
        Refusal.expect(NativeLibraryException.class, missing.reason(), absent::functions);
    }

    @Test
    void deviceCountAnswersWithoutADriver() {
        int count = CudaRuntime.deviceCount();
        assertEquals(count == 0, CudaRuntime.noDeviceReason().isPresent());
        assertTrue(CudaRuntime.noDeviceReason().orElse("there is one").length() > 10);
    }

    @Test
    void runtimeWithoutADeviceReportsErrorsInWords() {
        assumeTrue(CudaRuntime.availability().present(), "no CUDA runtime");
        assertEquals(13, CudaRuntime.runtimeVersion() / 1000);
        assertTrue(CudaRuntime.errorText(100).startsWith("cudaErrorNoDevice (100): "), CudaRuntime.errorText(100));
        int absent = CudaRuntime.deviceCount();
        Refusal.expect(CudaException.class, "cudaGetDeviceProperties: cudaError", () -> CudaRuntime.device(absent));
    }

    @Test
    void absentLibrariesRefuseWithTheirReason() {
        assumeFalse(CudaDriver.availability().present(), "there is a CUDA driver");
        Refusal.expect(NativeLibraryException.class, "The CUDA driver was not found", CudaDriver::initialise);
        assumeFalse(Nvrtc.availability().present(), "there is NVRTC");
        Refusal.expect(NativeLibraryException.class, "NVRTC was not found", Nvrtc::version);
    }

    @Test
    void rangesDoNothingWhereNobodyListens() {
        assumeTrue(System.getenv("NVTX_INJECTION64_PATH") == null, "a profiler listens");
        assertFalse(Nvtx.isActive());
        assertDoesNotThrow(() -> {
            Nvtx.push("step");
            Nvtx.pop();
            Nvtx.pop();
        });
    }

    @Test
    void aProgramThatDoesNotCompileShowsTheCompilersLog() {
        assumeTrue(Nvrtc.availability().present(), "no NVRTC");
        Refusal.expect(CudaException.class, "broken.cu(1): error", () -> Nvrtc.compile("no such type;", "broken.cu"));
    }

    @Test
    void aProgramCompilesToPtxOrCubin() {
        assumeTrue(Nvrtc.availability().present(), "no NVRTC");
        String source = "extern \"C\" __global__ void fill(float* out, float value) { out[threadIdx.x] = value; }";
        String ptx = new String(
                Nvrtc.compile(source, "fill.cu", "--gpu-architecture=compute_90"), StandardCharsets.US_ASCII);
        assertTrue(ptx.contains(".entry fill"), ptx);
        byte[] cubin = Nvrtc.compile(source, "fill.cu", "--gpu-architecture=sm_90");
        assertEquals("ELF", new String(cubin, 1, 3, StandardCharsets.US_ASCII));
    }

    @Test
    @Tag("gpu")
    void aKernelRunsOnTheFirstDevice() {
        assumeTrue(
                CudaRuntime.deviceCount() > 0,
                () -> CudaRuntime.noDeviceReason().orElse(""));
        CudaRuntime.Device device = CudaRuntime.device(0);
        assertTrue(device.computeMajor() >= 5, device.toString());
        CudaRuntime.Memory memory = CudaRuntime.memory(0);
        assertTrue(memory.free() > 0 && memory.free() <= memory.total(), memory.toString());
        CudaDriver.initialise();
        byte[] image = Nvrtc.compile(
                "extern \"C\" __global__ void nothing() {}",
                "nothing.cu",
                "--gpu-architecture=sm_" + device.computeMajor() + device.computeMinor());
        long module = CudaDriver.load(image);
        CudaDriver.Size one = new CudaDriver.Size(1, 1, 1);
        CudaDriver.launch(CudaDriver.function(module, "nothing"), one, one, 0, 0, MemorySegment.NULL);
        CudaRuntime.synchronize(0);
        CudaDriver.unload(module);
    }
}
