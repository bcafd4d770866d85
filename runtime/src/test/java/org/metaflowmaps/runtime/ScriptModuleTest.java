package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;
import static org.metaflowmaps.runtime.Refusal.illegalState;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.pytorch.JitModule;
import org.bytedeco.pytorch.QualifiedName;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Modules written by libtorch in the format of Python's {@code torch.jit.save}. */
final class ScriptModuleTest {
    private final long live = NativeMemory.liveTensors();

    @TempDir
    private Path folder;

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    /** Writes a module with one parameter, 2. */
    private Path write(String forward) {
        return write("self, x", forward);
    }

    private Path write(String arguments, String forward) {
        Path file = folder.resolve("module.pt");
        Handles.initialise();
        try (TensorScope scope = TensorScope.open();
                QualifiedName name = new QualifiedName("Module");
                JitModule module = new JitModule(name)) {
            module.register_parameter(
                    "factor", Torch.scalar(2).requiresGrad_(true).unwrap(), false);
            module.define("def forward(" + arguments + "):\n  " + forward + "\n");
            module.save(file.toString());
        }
        return file;
    }

    @Test
    void aModuleRunsAndIsDifferentiableInItsInputAlone() throws IOException {
        Path file = write("return (x * x).sum(1) * self.factor");
        try (ScriptModule module = ScriptModule.load(file, Device.CPU);
                TensorScope scope = TensorScope.open()) {
            Tensor plain = Torch.of(new float[] {1, 2, 3, 4}, 2, 2);
            assertFalse(module.forward(plain).requiresGrad(), "the weights are frozen");
            Tensor input = plain.clone().requiresGrad_(true);
            for (int call = 0; call < 4; call++) {
                Tensor result = module.forward(input);
                assertArrayEquals(new float[] {10, 50}, result.toFloatArray());
                assertTrue(result.requiresGrad());
                assertArrayEquals(
                        new float[] {4, 8, 12, 16},
                        Autograd.gradients(result.sum(), List.of(input))
                                .getFirst()
                                .toFloatArray());
            }
        }
    }

    @Test
    void flagsAreFurtherArguments() throws IOException {
        Path file = write(
                "self, x, twice: bool = False, negative: bool = False",
                "return x * (1 + int(twice)) * (1 - 2 * int(negative))");
        try (ScriptModule module = ScriptModule.load(file, Device.CPU);
                TensorScope scope = TensorScope.open()) {
            Tensor one = Torch.scalar(1);
            assertEquals(1, module.forward(one).item());
            assertEquals(2, module.forward(one, true).item());
            assertEquals(-1, module.forward(one, false, true).item());
            assertRefused(TensorException.class, () -> module.forward(one, true, true, true), "module.pt");
        }
    }

    @Test
    void failuresNameTheFile() throws IOException {
        try (ScriptModule module = ScriptModule.load(write("return x.matmul(x)"), Device.CPU);
                TensorScope scope = TensorScope.open()) {
            assertRefused(TensorException.class, () -> module.forward(Torch.zeros(2, 3)), "module.pt", "float32[2, 3]");
        }
        try (ScriptModule module = ScriptModule.load(write("return [x]"), Device.CPU);
                TensorScope scope = TensorScope.open()) {
            assertRefused(TensorException.class, () -> module.forward(Torch.zeros(2)), "than one tensor");
        }
        ScriptModule closed = ScriptModule.load(write("return x"), Device.CPU);
        closed.close();
        closed.close();
        try (TensorScope scope = TensorScope.open()) {
            Tensor input = Torch.zeros(2);
            illegalState("was closed", () -> closed.forward(input));
        }
    }

    @Test
    void otherFilesAreRefused() throws IOException {
        Path text = Files.writeString(folder.resolve("text.pt"), "no archive");
        assertRefused(IOException.class, () -> ScriptModule.load(text, Device.CPU), "text.pt", "torch.jit.script");
        Path whole = write("return x");
        byte[] bytes = Files.readAllBytes(whole);
        for (int length : new int[] {4, bytes.length / 2, bytes.length - 1}) {
            Files.write(text, Arrays.copyOf(bytes, length));
            assertRefused(IOException.class, () -> ScriptModule.load(text, Device.CPU), "text.pt", "TorchScript");
        }
        assertRefused(IOException.class, () -> ScriptModule.load(folder.resolve("none.pt"), Device.CPU), "none.pt");
        assertRefused(IOException.class, () -> ScriptModule.load(folder, Device.CPU));
    }
}
