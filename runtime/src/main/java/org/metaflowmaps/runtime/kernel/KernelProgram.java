package org.metaflowmaps.runtime.kernel;

import com.google.common.collect.ImmutableSortedMap;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.metaflowmaps.bindings.Nvrtc;

/**
 * A source file of the module {@code org.metaflowmaps.kernels} with the constants to compile it for.
 *
 * @param name of the file, without {@code .cu}
 * @param constants its macros by name, such as {@code WIDTH} and {@code 1152}; in the order of their names
 */
record KernelProgram(String name, ImmutableSortedMap<String, String> constants) {
    private static final String FOLDER = "org/metaflowmaps/kernels/";
    private static final String HEADER = "common.cuh";

    static KernelProgram of(String name, Map<String, String> constants) {
        return new KernelProgram(name, ImmutableSortedMap.copyOf(constants));
    }

    /** The program's text. */
    String source() {
        return read(name + ".cu");
    }

    /** The headers that sources include, by name. */
    static Map<String, String> headers() {
        return Map.of(HEADER, read(HEADER));
    }

    /**
     * The compiler's options.
     *
     * @param architecture such as {@code sm_90}
     */
    List<String> options(String architecture) {
        List<String> options = new ArrayList<>();
        options.add("--gpu-architecture=" + architecture);
        options.add("--std=c++17");
        // Logs registers and spills.
        options.add("--ptxas-options=-v");
        constants.forEach((macro, value) -> options.add("-D" + macro + "=" + value));
        return options;
    }

    /** Compiles the program; throws {@link org.metaflowmaps.bindings.CudaException} with the compiler's log. */
    Nvrtc.Program compile(String architecture) {
        return Nvrtc.build(source(), name + ".cu", headers(), options(architecture));
    }

    static String read(String file) {
        try (InputStream stream = KernelProgram.class.getClassLoader().getResourceAsStream(FOLDER + file)) {
            if (stream == null) {
                throw new AssertionError("the module org.metaflowmaps.kernels has no file " + file);
            }
            return new String(stream.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException("cannot read the kernel source " + file, e);
        }
    }

    @Override
    public String toString() {
        return name + constants;
    }
}
