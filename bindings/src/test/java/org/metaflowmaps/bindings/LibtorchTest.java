package org.metaflowmaps.bindings;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Context;
import org.junit.jupiter.api.Test;

class LibtorchTest {
    @Test
    void loadsOnceFromManyThreads() throws InterruptedException {
        Thread[] threads = new Thread[4];
        for (int i = 0; i < threads.length; i++) {
            threads[i] = Thread.ofPlatform().start(Libtorch::load);
        }
        for (Thread thread : threads) {
            thread.join();
        }
        LibtorchInfo info = Libtorch.info();
        assertEquals("2.13.0", info.version());
        assertTrue(Files.isRegularFile(info.library()), info.library().toString());
        assertEquals(Context.hasCUDART(), info.cudaBuild());
    }

    @Test
    void takesJavacppsMemoryLimitsAway() {
        Libtorch.load();
        assertEquals(0, Pointer.maxBytes());
        assertEquals(0, Pointer.maxPhysicalBytes());
    }

    @Test
    void turnsJavacppsCollectionOff() {
        Libtorch.load();
        // Tracked objects would be counted here.
        try (Pointer owned = new LongPointer(3)) {
            assertEquals(0, Pointer.totalCount(), owned.toString());
        }
    }

    @Test
    void usesAllProcessorsUnlessToldOtherwise() {
        assumeTrue(System.getenv("OMP_NUM_THREADS") == null, "OMP_NUM_THREADS is set");
        assumeTrue(System.getProperty("org.metaflowmaps.threads") == null, "org.metaflowmaps.threads is set");
        assertEquals(Runtime.getRuntime().availableProcessors(), Libtorch.info().threads());
    }

    @Test
    void refusesAnOlderLibtorchAndSaysWhichAndWhere() {
        Path library = Path.of("somewhere", "libtorch_cpu.so");
        long older = (2L << 56) | (12L << 48) | (1L << 40);
        Refusal.expect(
                NativeLibraryException.class,
                "libtorch 2.12.1 was loaded from " + library + ", but at least 2.13.0 is needed",
                () -> Libtorch.checkVersion(older, library));
        assertDoesNotThrow(() -> Libtorch.checkVersion((2L << 56) | (13L << 48), library));
        assertDoesNotThrow(() -> Libtorch.checkVersion((2L << 56) | (14L << 48), library));
        assertDoesNotThrow(() -> Libtorch.checkVersion(200L << 56, library));
    }

    @Test
    void everyFunctionBoundIsInTheShippedLibrary() {
        // Initialises every class, so that it binds its functions.
        long tensor = Tensors.of(1, 2);
        StableAbi.delete(
                Operator.of("aten::relu", "", 1, 1).call().tensor(tensor).invoke());
        StableAbi.delete(tensor);
        Map<String, FunctionDescriptor> bound = Libtorch.functions().bound();
        SymbolLookup shipped = SymbolLookup.libraryLookup(Libtorch.info().library(), Arena.global());
        assertTrue(bound.size() >= 28, bound.keySet().toString());
        for (String name : bound.keySet()) {
            assertTrue(shipped.find(name).isPresent(), name);
        }
        // A C++ exception ends the JVM: bind only functions that report an error code, and these, which cannot throw.
        Set<String> withoutErrorCode = Set.of(
                "aoti_torch_abi_version",
                "aoti_torch_grad_mode_is_enabled",
                "aoti_torch_grad_mode_set_enabled",
                "torch_exception_get_what_without_backtrace");
        bound.forEach((name, type) -> assertEquals(
                !withoutErrorCode.contains(name), type.returnLayout().equals(Optional.of(ValueLayout.JAVA_INT)), name));
    }

    @Test
    void aMissingFunctionIsNamed() {
        Refusal.expect(
                NativeLibraryException.class,
                "has no function aoti_torch_no_such_function",
                () -> Libtorch.functions().bind("aoti_torch_no_such_function", FunctionDescriptor.ofVoid()));
    }
}
