package org.metaflowmaps.runtime.pretend;

import java.io.IOException;
import java.io.InputStream;
import java.net.JarURLConnection;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.jar.JarEntry;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.zip.CRC32;

/**
 * Makes the libraries of CUDA that libtorch's CUDA build needs, with gcc. The functions that matter are written in C
 * ({@code cudart.c} and others); all others are generated from the symbols that libtorch's libraries take, and do nothing.
 */
final class StubLibraries {
    private static final String LIBTORCH = "org/bytedeco/pytorch/linux-x86_64-gpu/";
    private static final String GLUE = "org/bytedeco/cuda/linux-x86_64/";
    private static final Pattern CUDA = Pattern.compile("lib(cu|nv|nccl)[a-zA-Z_-]*\\.so\\.\\d+");
    private static final Pattern PRODUCT = Pattern.compile("cublas.*(gemm|Gemm|gemv|GemmEx|dot|Dot).*");
    private static final String RUNTIME = "libcudart.so.13";

    /** Handwritten sources by library, the runtime's first, because the others call it. */
    private static final Map<String, String> SOURCES = Map.of(
            RUNTIME,
            "cudart.c",
            "libcuda.so.1",
            "driver.c",
            "libcublas.so.13",
            "cublas.c",
            "libcublasLt.so.13",
            "cublasLt.c",
            "libcudnn.so.9",
            "cudnn.c",
            "libnvidia-ml.so.1",
            "nvml.c",
            "libnvrtc.so.13",
            "nvrtc.c");

    /** Beginnings of the names of symbols without a library, the longest that fits. */
    private static final Map<String, String> PREFIXES = Map.ofEntries(
            Map.entry("cuda", RUNTIME),
            Map.entry("__cuda", RUNTIME),
            Map.entry("cublas", "libcublas.so.13"),
            Map.entry("cublasLt", "libcublasLt.so.13"),
            Map.entry("cudnn", "libcudnn.so.9"),
            Map.entry("cufft", "libcufft.so.12"),
            Map.entry("cufile", "libcufile.so.0"),
            Map.entry("cuFile", "libcufile.so.0"),
            Map.entry("cupti", "libcupti.so.13"),
            Map.entry("curand", "libcurand.so.10"),
            Map.entry("cusolver", "libcusolver.so.12"),
            Map.entry("cusolverMg", "libcusolverMg.so.12"),
            Map.entry("cusparse", "libcusparse.so.12"),
            Map.entry("nccl", "libnccl.so.2"),
            Map.entry("nvJitLink", "libnvJitLink.so.13"),
            Map.entry("nvrtc", "libnvrtc.so.13"),
            Map.entry("cu", "libcuda.so.1"));

    private StubLibraries() {}

    /** The functions of a library to make, and the versions of its symbols. */
    private record Stub(Set<String> functions, Set<String> versions) {
        Stub() {
            this(new TreeSet<>(), new TreeSet<>());
        }
    }

    /** Returns whether libtorch's CUDA build and the classes of CUDA are on the class path. */
    static boolean isCudaBuild() {
        return resource(LIBTORCH + "libtorch_cuda.so") != null && resource(GLUE + "libjnicudart.so") != null;
    }

    /**
     * Returns the libraries in the order in which to load them; makes them if this set of jars and sources has none yet.
     *
     * @throws IOException if gcc fails; the message has its output
     */
    static List<Path> make() throws IOException {
        List<URL> readers = readers();
        CRC32 key = new CRC32();
        for (URL reader : readers) {
            JarURLConnection connection = (JarURLConnection) reader.openConnection();
            key.update(
                    (connection.getEntryName() + connection.getJarEntry().getCrc()).getBytes(StandardCharsets.UTF_8));
        }
        for (String source : new TreeSet<>(SOURCES.values())) {
            key.update(source(source));
        }
        key.update(source("pretend.h"));
        Path made = Path.of(
                System.getProperty("java.io.tmpdir"),
                String.format(Locale.ROOT, "metaflowmaps-pretend-cuda-%08x", key.getValue()));
        if (!Files.isDirectory(made)) {
            Path work = Files.createTempDirectory("metaflowmaps-pretend-");
            compile(work, stubs(readers));
            try {
                Files.move(work, made, StandardCopyOption.ATOMIC_MOVE);
            } catch (FileSystemException e) {
                // Another process made them meanwhile.
                return inOrder(work);
            }
        }
        return inOrder(made);
    }

    private static List<Path> inOrder(Path folder) throws IOException {
        try (var files = Files.list(folder)) {
            return files.filter(
                            file -> CUDA.matcher(file.getFileName().toString()).matches())
                    .sorted((a, b) -> Boolean.compare(b.endsWith(RUNTIME), a.endsWith(RUNTIME)))
                    .toList();
        }
    }

    /** Returns the libraries whose symbols are needed. */
    private static List<URL> readers() throws IOException {
        List<URL> readers = new ArrayList<>();
        for (String folder : List.of(LIBTORCH, GLUE)) {
            URL one = resource(folder + (folder.equals(GLUE) ? "libjnicudart.so" : "libtorch_cuda.so"));
            JarURLConnection jar =
                    (JarURLConnection) Objects.requireNonNull(one).openConnection();
            for (JarEntry entry : Collections.list(jar.getJarFile().entries())) {
                String name = entry.getName();
                boolean read = name.startsWith(LIBTORCH)
                        ? name.matches(".*/lib(torch_cuda|torch_cpu|c10_cuda|jnitorch_cuda|jnitorch)\\.so")
                        : name.matches(".*/libjni(cuda|cudart|cublas|cublasLt|cudnn|cufft|curand|cusolver|cusparse|"
                                + "nccl|nvrtc|cupti)\\.so");
                if (name.startsWith(folder) && read) {
                    readers.add(Objects.requireNonNull(resource(name)));
                }
            }
        }
        return readers;
    }

    private static Map<String, Stub> stubs(List<URL> readers) throws IOException {
        Map<String, Stub> stubs = new TreeMap<>();
        SOURCES.keySet().forEach(library -> stubs.put(library, new Stub()));
        for (URL reader : readers) {
            ElfImports imports;
            try (InputStream in = reader.openStream()) {
                imports = ElfImports.of(in.readAllBytes());
            }
            imports.libraries().stream()
                    .filter(library -> CUDA.matcher(library).matches())
                    .forEach(library -> stubs.computeIfAbsent(library, name -> new Stub()));
            for (ElfImports.Function function : imports.functions()) {
                String library = function.library().isEmpty() ? byPrefix(function.name()) : function.library();
                if (CUDA.matcher(library).matches()) {
                    Stub stub = stubs.computeIfAbsent(library, name -> new Stub());
                    stub.functions.add(function.name());
                    if (!function.version().isEmpty()) {
                        stub.versions.add(function.version());
                    }
                }
            }
        }
        return stubs;
    }

    private static String byPrefix(String function) {
        return PREFIXES.keySet().stream()
                .filter(function::startsWith)
                .max((a, b) -> Integer.compare(a.length(), b.length()))
                .map(PREFIXES::get)
                .orElse("");
    }

    private static void compile(Path folder, Map<String, Stub> stubs) throws IOException {
        Files.write(folder.resolve("pretend.h"), source("pretend.h"));
        Set<String> order = new LinkedHashSet<>(List.of(RUNTIME));
        order.addAll(stubs.keySet());
        for (String library : order) {
            Stub stub = Objects.requireNonNull(stubs.get(library));
            List<String> command = new ArrayList<>(List.of(
                    "gcc", "-shared", "-fPIC", "-O1", "-w", "-pthread", "-o", library, "-Wl,-soname," + library));
            if (!stub.versions.isEmpty()) {
                Files.writeString(
                        folder.resolve(library + ".map"),
                        stub.versions.stream()
                                .map(version -> version + " { global: *; };\n")
                                .collect(Collectors.joining()));
                command.add("-Wl,--version-script=" + library + ".map");
            }
            Files.writeString(folder.resolve(library + ".c"), generated(library, stub));
            command.add(library + ".c");
            String written = SOURCES.get(library);
            if (written != null) {
                Files.write(folder.resolve(written), source(written));
                command.add(written);
            }
            if (!library.equals(RUNTIME)) {
                command.addAll(List.of("-L.", "-l:" + RUNTIME));
            }
            command.add("-ldl");
            run(folder, command);
        }
    }

    private static String generated(String library, Stub stub) {
        StringBuilder text = new StringBuilder("#include \"pretend.h\"\n");
        text.append("extern int pretend_product(void *handle);\n");
        text.append("#define WEAK __attribute__((weak, visibility(\"default\")))\n");
        for (String function : stub.functions) {
            if (library.startsWith("libcublas.") && PRODUCT.matcher(function).matches()) {
                text.append("WEAK int " + function + "(void *handle) { return pretend_product(handle); }\n");
            } else {
                text.append("WEAK int " + function + "(void) { pretend_missing(\"" + function + "\"); return 0; }\n");
            }
        }
        return text.toString();
    }

    private static void run(Path folder, List<String> command) throws IOException {
        Path log = folder.resolve("log");
        Process process = new ProcessBuilder(command)
                .directory(folder.toFile())
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        try {
            if (!process.waitFor(1, TimeUnit.MINUTES) || process.exitValue() != 0) {
                throw new IOException(String.join(" ", command) + ": " + Files.readString(log));
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException(e);
        }
    }

    private static byte[] source(String name) throws IOException {
        try (InputStream in = Objects.requireNonNull(StubLibraries.class.getResourceAsStream(name), name)) {
            return in.readAllBytes();
        }
    }

    private static URL resource(String name) {
        return StubLibraries.class.getClassLoader().getResource(name);
    }
}
