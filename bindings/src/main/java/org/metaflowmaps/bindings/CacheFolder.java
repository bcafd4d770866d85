package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.io.IOException;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** Chooses the folder that native libraries are unpacked to. */
final class CacheFolder {
    static final String PROPERTY = "org.metaflowmaps.cache";
    static final String VARIABLE = "MFM_CACHE";
    static final String JAVACPP = "org.bytedeco.javacpp.cachedir";
    static final String CHOOSE =
            "choose another folder with -D" + PROPERTY + "=DIR or the environment variable " + VARIABLE;

    private static final String NAME = "metaflowmaps";

    private final Function<String, @Nullable String> property;
    private final Function<String, @Nullable String> variable;

    CacheFolder(Function<String, @Nullable String> property, Function<String, @Nullable String> variable) {
        this.property = property;
        this.variable = variable;
    }

    /**
     * Returns the folder, and creates it if it is missing: the folder that the user named, else {@code metaflowmaps} in
     * the user's cache folder, else a private folder in the temporary folder.
     *
     * @throws IOException if the folder cannot be created or is not safe; the message says what to do
     */
    Path choose() throws IOException {
        for (String name : new String[] {PROPERTY, JAVACPP, VARIABLE}) {
            String chosen = name.equals(VARIABLE) ? variable.apply(name) : property.apply(name);
            if (chosen != null && !chosen.isBlank()) {
                return named(chosen, name);
            }
        }
        Optional<Path> home = home();
        if (home.isPresent()) {
            try {
                Path folder = Files.createDirectories(home.get());
                if (Files.isWritable(folder) || NativeCache.wasLoaded(folder)) {
                    return folder;
                }
            } catch (IOException e) {
                // The home folder is missing or not writable: use the private folder.
                return own();
            }
        }
        return own();
    }

    private static Path named(String folder, String by) throws IOException {
        try {
            return Files.createDirectories(Path.of(folder).toAbsolutePath());
        } catch (FileAlreadyExistsException e) {
            throw new IOException("the cache folder " + folder + ", named by " + by + ", is a file: name a folder", e);
        } catch (IOException | InvalidPathException e) {
            throw new IOException(
                    "the cache folder " + folder + ", named by " + by + ", cannot be made (" + reason(e) + "): "
                            + CHOOSE,
                    e);
        }
    }

    static String reason(Exception e) {
        return e.getClass().getSimpleName().replace("Exception", "") + ": " + e.getMessage();
    }

    /** Java says "?" where the system knows no home; containers often say "/". */
    private Optional<Path> home() {
        String cache = variable.apply("XDG_CACHE_HOME");
        if (cache != null && cache.startsWith("/")) {
            return Optional.of(Path.of(cache, NAME));
        }
        String home = property.apply("user.home");
        if (home == null
                || home.isBlank()
                || home.equals("?")
                || home.equals("/")
                || !Files.isDirectory(Path.of(home))) {
            return Optional.empty();
        }
        return Optional.of(Path.of(home, ".cache", NAME).toAbsolutePath());
    }

    private Path own() throws IOException {
        Path temporary = Path.of(String.valueOf(property.apply("java.io.tmpdir")));
        Optional<Integer> user = userId();
        Path folder = temporary.resolve(
                NAME + "-" + (user.isPresent() ? user.get().toString() : property.apply("user.name")));
        if (user.isEmpty()) {
            return named(folder.toString(), "java.io.tmpdir");
        }
        try {
            return Files.createDirectory(
                    folder, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        } catch (FileAlreadyExistsException e) {
            checkPrivate(folder, user.get());
            return folder;
        } catch (IOException e) {
            throw new IOException("the cache folder " + folder + " cannot be made (" + reason(e) + "): " + CHOOSE, e);
        }
    }

    /** Refuses a folder that others can write to: it could hold another user's libraries. */
    static void checkPrivate(Path folder, int user) throws IOException {
        if (!Files.isDirectory(folder, LinkOption.NOFOLLOW_LINKS)
                || !Integer.valueOf(user).equals(Files.getAttribute(folder, "unix:uid", LinkOption.NOFOLLOW_LINKS))) {
            throw new IOException(
                    "the cache folder " + folder + " belongs to another user or is not a folder: " + CHOOSE);
        }
        Set<PosixFilePermission> allowed = Files.getPosixFilePermissions(folder, LinkOption.NOFOLLOW_LINKS);
        if (allowed.contains(PosixFilePermission.GROUP_WRITE) || allowed.contains(PosixFilePermission.OTHERS_WRITE)) {
            throw new IOException("other users may write to the cache folder " + folder + ": run 'chmod 700 " + folder
                    + "' after you have" + " deleted what is in it, or " + CHOOSE);
        }
    }

    /** Returns this process's user id (C function {@code geteuid}); empty on Windows. */
    static Optional<Integer> userId() {
        Optional<MemorySegment> function = Linker.nativeLinker().defaultLookup().find("geteuid");
        if (function.isEmpty()) {
            return Optional.empty();
        }
        try {
            return Optional.of((int) Linker.nativeLinker()
                    .downcallHandle(function.get(), FunctionDescriptor.of(JAVA_INT))
                    .invokeExact());
        } catch (Throwable e) {
            throw new AssertionError("geteuid takes no argument and returns a number", e);
        }
    }
}
