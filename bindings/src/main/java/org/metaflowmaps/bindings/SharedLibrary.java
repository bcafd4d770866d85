package org.metaflowmaps.bindings;

import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** A shared library that may be missing, with its binder if it was found. */
final class SharedLibrary {
    private final Availability availability;
    private final @Nullable Ffm functions;

    private SharedLibrary(Availability availability, @Nullable Ffm functions) {
        this.availability = availability;
        this.functions = functions;
    }

    /**
     * Looks for a library: first the file named by the system property {@code org.metaflowmaps.library.STEM}, then
     * libtorch's copy, then the system loader's paths, then the CUDA toolkit's directories.
     *
     * @param title its name for the user
     * @param stem the name without prefix and suffix, as in {@code cudart}
     * @param unixVersion the number that the file name ends with, as in {@code libcudart.so.13}
     * @param windowsName the file name on Windows
     */
    static SharedLibrary find(String title, String stem, String unixVersion, String windowsName) {
        String property = "org.metaflowmaps.library." + stem;
        boolean windows = System.getProperty("os.name", "").startsWith("Windows");
        String fileName = windows ? windowsName : "lib" + stem + ".so." + unixVersion;
        List<String> tried = new ArrayList<>();

        String chosen = System.getProperty(property);
        if (chosen != null) {
            return open(title, chosen, tried)
                    .orElseGet(() -> missing(
                            title + " is not at " + chosen + ", which the system property " + property + " names"));
        }
        Optional<Path> brought = Libtorch.companion(stem);
        List<String> candidates = new ArrayList<>();
        brought.ifPresent(path -> candidates.add(path.toString()));
        candidates.add(fileName);
        for (String home : new String[] {System.getenv("CUDA_PATH"), System.getenv("CUDA_HOME"), "/usr/local/cuda"}) {
            if (home != null) {
                for (String folder : windows ? List.of("bin", "bin/x64") : List.of("lib64", "lib")) {
                    candidates.add(Path.of(home, folder, fileName).toString());
                }
            }
        }
        for (String candidate : candidates) {
            Optional<SharedLibrary> found = open(title, candidate, tried);
            if (found.isPresent()) {
                return found.get();
            }
        }
        return missing(title + " was not found; tried " + String.join(", ", tried)
                + ". If it is elsewhere, start Java with -D" + property + "=PATH");
    }

    Availability availability() {
        return availability;
    }

    /** Returns the binder; throws {@link NativeLibraryException} with the reason if the library is missing. */
    Ffm functions() {
        if (availability instanceof Availability.Missing missing) {
            throw new NativeLibraryException(missing.reason());
        }
        if (functions == null) {
            throw new AssertionError(availability);
        }
        return functions;
    }

    private static Optional<SharedLibrary> open(String title, String location, List<String> tried) {
        Path path = Path.of(location);
        tried.add(location);
        if (path.isAbsolute() && !Files.exists(path)) {
            return Optional.empty();
        }
        try {
            SymbolLookup symbols = path.isAbsolute()
                    ? SymbolLookup.libraryLookup(path, Arena.global())
                    : SymbolLookup.libraryLookup(location, Arena.global());
            Availability found = new Availability.Found(location);
            return Optional.of(new SharedLibrary(found, new Ffm(title + " (" + location + ")", symbols)));
        } catch (IllegalArgumentException e) {
            return Optional.empty();
        }
    }

    private static SharedLibrary missing(String reason) {
        return new SharedLibrary(new Availability.Missing(reason), null);
    }
}
