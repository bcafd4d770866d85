package org.metaflowmaps.runtime.kernel;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.metaflowmaps.bindings.CudaDriver;
import org.metaflowmaps.runtime.Device;

/**
 * Kernels built by a host compiler and run on tensors of the CPU, one thread of a block after the other between barriers ({@code
 * host.h}). Shows that the arithmetic and the indices are right; shows nothing about races and speed.
 */
final class HostKernels implements Kernels, AutoCloseable {
    private static final Pattern KERNEL = Pattern.compile("__global__ void (?:__launch_bounds__\\(.*?\\) )?(\\w+)\\(");

    private final String compiler;
    private final Path folder;

    @SuppressWarnings("MustBeClosedChecker") // closed by close()
    private final Arena arena = Arena.ofShared();

    private final Map<KernelProgram, Optional<Launcher>> programs = new HashMap<>();
    private int launches;

    private HostKernels(String compiler, Path folder) {
        this.compiler = compiler;
        this.folder = folder;
    }

    /** Returns the kernels, or nothing if there is no C++ compiler: {@code CXX}, else {@code g++} of a system with ucontext. */
    static Optional<HostKernels> find() {
        String chosen = Optional.ofNullable(System.getenv("CXX")).orElse("g++");
        try {
            Process process = new ProcessBuilder(chosen, "--version")
                    .redirectErrorStream(true)
                    .start();
            process.getInputStream().readAllBytes();
            if (process.waitFor() != 0 || !System.getProperty("os.name", "").equals("Linux")) {
                return Optional.empty();
            }
            return Optional.of(new HostKernels(chosen, Files.createTempDirectory("kernels")));
        } catch (IOException e) {
            return Optional.empty();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    /** How many kernels were launched so far. */
    int launches() {
        return launches;
    }

    @Override
    public boolean holds(Device device) {
        return device.equals(Device.CPU);
    }

    @Override
    public Optional<Launcher> launcher(KernelProgram program) {
        return programs.computeIfAbsent(program, wanted -> Optional.of(build(wanted)));
    }

    private Launcher build(KernelProgram program) {
        try {
            Path build = Files.createDirectories(folder.resolve(Integer.toString(programs.size())));
            String source = program.source();
            Files.writeString(build.resolve(program.name() + ".cu"), source);
            for (Map.Entry<String, String> header : KernelProgram.headers().entrySet()) {
                Files.writeString(build.resolve(header.getKey()), header.getValue());
            }
            Files.writeString(build.resolve("host.h"), hostHeader());
            List<String> kernels = KERNEL.matcher(source)
                    .results()
                    .map(match -> match.group(1))
                    .toList();
            StringBuilder wrapper = new StringBuilder("#include \"" + program.name() + ".cu\"\n");
            kernels.forEach(
                    kernel -> wrapper.append("HOST_KERNEL(").append(kernel).append(")\n"));
            Files.writeString(build.resolve("wrapper.cpp"), wrapper);
            List<String> command =
                    new ArrayList<>(List.of(compiler, "-std=c++17", "-O1", "-Wno-unknown-pragmas", "-shared", "-fPIC"));
            program.constants().forEach((macro, value) -> command.add("-D" + macro + "=" + value));
            command.addAll(List.of("wrapper.cpp", "-o", "kernels.so"));
            Process process = new ProcessBuilder(command)
                    .directory(build.toFile())
                    .redirectErrorStream(true)
                    .start();
            String log = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            if (process.waitFor() != 0) {
                throw new AssertionError(program + " does not compile for the host: " + log);
            }
            SymbolLookup symbols = SymbolLookup.libraryLookup(build.resolve("kernels.so"), arena);
            return new HostProgram(symbols);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    private static String hostHeader() throws IOException {
        try (InputStream stream = HostKernels.class.getResourceAsStream("host.h")) {
            if (stream == null) {
                throw new IOException("host.h is missing");
            }
            return new String(stream.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private final class HostProgram implements Launcher {
        private final SymbolLookup symbols;

        HostProgram(SymbolLookup symbols) {
            this.symbols = symbols;
        }

        @Override
        public void launch(String kernel, CudaDriver.Size grid, int block, Arguments arguments) {
            MethodHandle function = Linker.nativeLinker()
                    .downcallHandle(
                            symbols.findOrThrow(kernel + "_host"),
                            FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS, ADDRESS));
            int error;
            try (Arena call = Arena.ofConfined()) {
                MemorySegment blocks = call.allocateFrom(JAVA_INT, grid.x(), grid.y(), grid.z());
                MemorySegment threads = call.allocateFrom(JAVA_INT, block, 1, 1);
                error = (int) function.invokeExact(blocks, threads, arguments.array());
            } catch (Throwable e) {
                throw new AssertionError(e);
            }
            if (error != 0) {
                throw new AssertionError(kernel + ": " + (error == 1 ? "its threads wait forever" : "wrong block"));
            }
            launches++;
        }
    }

    @Override
    public void close() {
        arena.close();
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
