package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;

/** C functions of libtorch's CUDA library, which only the CUDA build has. */
public final class LibtorchCuda {
    private LibtorchCuda() {}

    /** Bound only where the library was loaded. */
    private static final class Functions {
        static final MethodHandle CURRENT_STREAM =
                binder().bind("aoti_torch_get_current_cuda_stream", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS));

        private static Ffm binder() {
            Libtorch.load();
            Path library = Libtorch.companion("torch_cuda")
                    .orElseThrow(() -> new NativeLibraryException(
                            "libtorch's CUDA library is not loaded: this is libtorch's CPU build; build with -Pcuda"));
            return new Ffm("libtorch_cuda", SymbolLookup.libraryLookup(library, Arena.global()));
        }
    }

    /**
     * Returns the stream that libtorch's operations of this thread run on, a {@code cudaStream_t}
     * ({@code aoti_torch_get_current_cuda_stream}).
     *
     * @param device the index of a GPU
     * @throws NativeLibraryException with libtorch's CPU build
     */
    public static long currentStream(int device) {
        try {
            MemorySegment slot = Scratch.slot();
            int error = (int) Functions.CURRENT_STREAM.invokeExact(device, slot);
            if (error != 0) {
                throw new CudaException("aoti_torch_get_current_cuda_stream failed for device " + device, error);
            }
            return slot.get(JAVA_LONG, 0);
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }
}
