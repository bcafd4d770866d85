package org.metaflowmaps.runtime.pretend;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.bytedeco.pytorch.global.torch;
import org.metaflowmaps.bindings.Libtorch;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.kernel.AttentionTangent;

/**
 * A CUDA device without a GPU: libtorch's CUDA build runs on it, kernels are counted and not executed, memory is address
 * space, and captures follow CUDA's rules. Values computed on it are meaningless; a single truth value reads as true.
 *
 * <p>Libraries that are loaded already are used for those of the same name that libtorch needs, so no path has to be set.
 */
public final class PretendCuda {
    private static final int COUNTERS = 16;
    private static final String CACHE = "org.metaflowmaps.cache";

    private static Optional<String> missing = Optional.of("not installed");
    private static Counters first;
    private static boolean tried;

    private PretendCuda() {}

    /**
     * What the device has counted since it was installed.
     *
     * @param launches kernels, without products of cuBLAS
     * @param products calls of cuBLAS and cuBLASLt
     * @param memsets fills of memory
     * @param copiesOnDevice copies from device to device
     * @param copiesToDevice copies from the host
     * @param copiesToHost copies to the host
     * @param synchronisations waits of the host for a stream, an event or the device
     * @param allocations of device memory by cudaMalloc or cuMemCreate
     * @param frees of device memory
     * @param graphLaunches launches of captured graphs
     * @param capturedNodes operations that were added to graphs
     * @param legacyWork operations on the legacy stream
     * @param bytes allocated now
     * @param peakBytes most bytes allocated since {@link #resetPeak}
     * @param liveGraphs graphs and runnable graphs that were not destroyed
     * @param liveEvents events that were not destroyed
     */
    public record Counters(
            long launches,
            long products,
            long memsets,
            long copiesOnDevice,
            long copiesToDevice,
            long copiesToHost,
            long synchronisations,
            long allocations,
            long frees,
            long graphLaunches,
            long capturedNodes,
            long legacyWork,
            long bytes,
            long peakBytes,
            long liveGraphs,
            long liveEvents) {
        /** Returns the counts since an earlier reading; amounts of memory and of live objects are those of this one. */
        public Counters since(Counters before) {
            return new Counters(
                    launches - before.launches,
                    products - before.products,
                    memsets - before.memsets,
                    copiesOnDevice - before.copiesOnDevice,
                    copiesToDevice - before.copiesToDevice,
                    copiesToHost - before.copiesToHost,
                    synchronisations - before.synchronisations,
                    allocations - before.allocations,
                    frees - before.frees,
                    graphLaunches - before.graphLaunches,
                    capturedNodes - before.capturedNodes,
                    legacyWork - before.legacyWork,
                    bytes,
                    peakBytes,
                    liveGraphs,
                    liveEvents);
        }

        /** Returns how often the host waited for the device. */
        public long hostReads() {
            return copiesToHost + synchronisations;
        }

        /** Returns the operations that the host submitted one by one. */
        public long submitted() {
            return launches + products + memsets + copiesOnDevice + copiesToDevice + copiesToHost;
        }
    }

    /** Bound once the libraries are loaded. */
    private static final class Functions {
        static final SymbolLookup RUNTIME = SymbolLookup.libraryLookup("libcudart.so.13", Arena.global());
        static final MethodHandle COUNTERS = bind("pretend_counters", ValueLayout.ADDRESS);
        static final MethodHandle RESET_PEAK = bind("pretend_reset_peak");
        static final MethodHandle RESET_KERNELS = bind("pretend_reset_kernels");
        static final MethodHandle CAPACITY = bind("pretend_set_capacity", ValueLayout.JAVA_LONG);
        static final MethodHandle WRITE_KERNELS = bind("pretend_write_kernels", ValueLayout.ADDRESS);
        static final MethodHandle WRITE_MISSING = bind("pretend_write_missing", ValueLayout.ADDRESS);

        private static MethodHandle bind(String name, MemoryLayout... arguments) {
            return Linker.nativeLinker()
                    .downcallHandle(RUNTIME.find(name).orElseThrow(), FunctionDescriptor.ofVoid(arguments));
        }
    }

    /**
     * Loads the pretend libraries and then libtorch; the first call of the process decides.
     *
     * @return why it is not possible; empty if the device is there
     */
    static synchronized Optional<String> install() {
        if (!tried) {
            tried = true;
            missing = load();
        }
        return missing;
    }

    private static Optional<String> load() {
        if (Files.exists(Path.of("/proc/driver/nvidia/version"))) {
            return Optional.of("there is an NVIDIA driver");
        }
        if (!StubLibraries.isCudaBuild()) {
            return Optional.of("libtorch's CUDA build is not on the class path: use -Pcuda-dry-run");
        }
        try {
            new ProcessBuilder("gcc", "--version")
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start();
        } catch (IOException e) {
            return Optional.of("gcc is missing: " + e.getMessage());
        }
        try {
            for (Path library : StubLibraries.make()) {
                System.load(library.toString());
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        Libtorch.load();
        // The pretend cuDNN has no operations.
        torch.globalContext().setSDPUseCuDNN(false);
        torch.globalContext().setUserEnabledCuDNN(false);
        try (TensorScope scope = TensorScope.open()) {
            first = count(() -> Torch.full(1, DType.FLOAT32, Device.cuda(0), 2));
            chooseKernelFolder(Torch.full(1, DType.FLOAT32, Device.cuda(0), 1));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return Optional.empty();
    }

    /** Keeps what the pretend compiler makes out of the user's folder; the first use of a device chooses the folder. */
    private static void chooseKernelFolder(Tensor onDevice) throws IOException {
        Path folder = Files.createTempDirectory("metaflowmaps-pretend-kernels-");
        Runtime.getRuntime().addShutdownHook(new Thread(() -> delete(folder)));
        String chosen = System.getProperty(CACHE);
        System.setProperty(CACHE, folder.toString());
        try {
            AttentionTangent.on(onDevice);
        } finally {
            if (chosen == null) {
                System.clearProperty(CACHE);
            } else {
                System.setProperty(CACHE, chosen);
            }
        }
    }

    private static void delete(Path folder) {
        try (Stream<Path> found = Files.walk(folder)) {
            for (Path file : found.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Reads the counters. */
    public static Counters read() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment at = arena.allocate(ValueLayout.JAVA_LONG, COUNTERS);
            Functions.COUNTERS.invokeExact(at);
            long[] n = at.toArray(ValueLayout.JAVA_LONG);
            return new Counters(
                    n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12], n[13], n[14],
                    n[15]);
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }

    /** Runs work and returns what the device counted meanwhile. */
    public static Counters count(Runnable work) {
        Counters before = read();
        work.run();
        return read().since(before);
    }

    /** Returns what the device counted for the first operation of the process. */
    static Counters first() {
        return first;
    }

    /** Begins a new measurement of {@link Counters#peakBytes}. */
    public static void resetPeak() {
        call(Functions.RESET_PEAK);
    }

    /** Sets the device's memory; 80 GiB at first. */
    public static void setCapacity(long bytes) {
        try {
            Functions.CAPACITY.invokeExact(bytes);
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }

    /** Runs work and returns how often each kernel was launched meanwhile, by its mangled name. */
    public static Map<String, Long> kernels(Runnable work) {
        call(Functions.RESET_KERNELS);
        work.run();
        return written(Functions.WRITE_KERNELS);
    }

    /** Returns how often each function without an implementation was called. */
    public static Map<String, Long> unimplemented() {
        return written(Functions.WRITE_MISSING);
    }

    private static Map<String, Long> written(MethodHandle write) {
        try (Arena arena = Arena.ofConfined()) {
            Path file = Files.createTempFile("metaflowmaps-pretend-", ".txt");
            try {
                write.invokeExact(arena.allocateFrom(file.toString()));
                Map<String, Long> found = new TreeMap<>();
                List<String> lines = Files.readAllLines(file);
                lines.forEach(line -> found.merge(
                        line.substring(line.indexOf(' ') + 1),
                        Long.valueOf(line.substring(0, line.indexOf(' '))),
                        Long::sum));
                return found;
            } finally {
                Files.delete(file);
            }
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }

    private static void call(MethodHandle function) {
        try {
            function.invokeExact();
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }
}
