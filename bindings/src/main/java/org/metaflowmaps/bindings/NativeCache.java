package org.metaflowmaps.bindings;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.JarURLConnection;
import java.net.URL;
import java.net.URLConnection;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import java.util.zip.CheckedInputStream;
import org.bytedeco.javacpp.Loader;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The folder that native libraries are unpacked to. Several processes may start at once, and any start may be
 * interrupted.
 *
 * <p>JavaCPP looks for a library at {@code FOLDER/JAR/PATH}, unpacks it in place if size or time differ from the jar's,
 * and makes links between jars. Its lock does not cover all of this, so a second process can truncate a library that
 * the first has mapped. This class therefore moves whole libraries into place under a lock, and JavaCPP loads them
 * under the same lock. After a successful load it writes a list of all files and links. If the list still matches, a
 * later start changes nothing and takes a shared lock.
 *
 * <p>Other programs may share the folder: their files are kept, and each set of jars has its own list.
 */
final class NativeCache implements AutoCloseable {
    /** Prefix of the list of files written after a successful load; a hash of the jars' names follows. */
    private static final String LOADED = ".metaflowmaps-loaded-";

    private static final String TEMPORARY = ".tmp";

    private static final Logger LOG = LoggerFactory.getLogger(NativeCache.class);
    private static final String LOCK = ".metaflowmaps-lock";
    private static final Pattern LIBRARY = Pattern.compile(".+\\.(so(\\.[0-9.]+)?|dylib|jnilib|dll)");
    private static final String PACKAGES = "org/bytedeco/";
    private static final List<String> NAMES = List.of("javacpp", "openblas", "mkl", "cuda", "pytorch");
    /** Not loaded here: it lists the names of all LAPACK functions. */
    private static final String UNUSED = "jniopenblas_full";

    private static final int BUFFER = 1 << 20;

    private final Path folder;
    private final @Nullable FileChannel channel;
    private final List<Library> libraries;
    private @Nullable FileLock lock;
    private boolean changes;

    /** A library in a jar, and the path where JavaCPP expects it. */
    private record Library(JarFile jar, JarEntry entry, Path file) {
        /** Returns true if JavaCPP will use the file unchanged. */
        boolean isWhole() throws IOException {
            return Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)
                    && Files.size(file) == entry.getSize()
                    && Files.getLastModifiedTime(file).toMillis() == entry.getTime();
        }
    }

    private NativeCache(Path folder, @Nullable FileChannel channel, List<Library> libraries) {
        this.folder = folder;
        this.channel = channel;
        this.libraries = libraries;
    }

    /**
     * Locks the folder and unpacks missing or damaged libraries. Load the libraries before {@link #close}.
     *
     * @throws IOException if the folder cannot be used; the message says what to do
     */
    static NativeCache open() throws IOException {
        Path chosen = new CacheFolder(System::getProperty, System::getenv).choose();
        if (System.getProperty(CacheFolder.PROPERTY) != null || System.getProperty(CacheFolder.JAVACPP) == null) {
            System.setProperty(CacheFolder.JAVACPP, chosen.toString());
        }
        // Not the chosen folder if the application used JavaCPP before.
        Path folder = Loader.getCacheDir().toPath().toRealPath();
        return open(folder, NativeCache.class.getClassLoader());
    }

    static NativeCache open(Path folder, @Nullable ClassLoader loader) throws IOException {
        List<Library> libraries = libraries(folder, loader == null ? ClassLoader.getSystemClassLoader() : loader);
        NativeCache cache = new NativeCache(folder, lockFile(folder), libraries);
        boolean opened = false;
        try {
            cache.prepare();
            opened = true;
            return cache;
        } finally {
            if (!opened) {
                cache.close();
            }
        }
    }

    Path folder() {
        return folder;
    }

    /** Records that all libraries were loaded from this folder. */
    void loaded() {
        if (!changes) {
            return;
        }
        try {
            Path loaded = loadedFile();
            Path temporary = Files.writeString(loaded.resolveSibling(loaded.getFileName() + TEMPORARY), listing());
            Files.move(temporary, loaded, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            LOG.debug("The list was not written; the next start takes the exclusive lock again", e);
        }
    }

    @Override
    public void close() {
        try {
            if (lock != null) {
                lock.release();
            }
            if (channel != null) {
                channel.close();
            }
        } catch (IOException e) {
            LOG.debug("The lock of {} was not released", folder, e);
        }
    }

    private void prepare() throws IOException {
        lock(true);
        if (isComplete()) {
            return;
        }
        if (!Files.isWritable(folder)) {
            throw new IOException("the cache folder " + folder
                    + " may not be written to, and libraries are missing there: " + CacheFolder.CHOOSE);
        }
        lock(false);
        changes = true;
        // Another process may have unpacked them meanwhile.
        if (!isComplete()) {
            Files.deleteIfExists(loadedFile());
            deleteLeftovers();
            unpack();
        }
    }

    /**
     * Deletes temporary files that killed processes left in {@link #unpack}, links without a target, and links at a
     * library's path. Keeps all other files, because they may be another program's; JavaCPP replaces its own links and
     * renamed copies.
     */
    private void deleteLeftovers() throws IOException {
        Set<Path> wanted = libraries.stream().map(Library::file).collect(Collectors.toSet());
        Set<Path> temporary = wanted.stream().map(NativeCache::temporary).collect(Collectors.toSet());
        for (Path jar : jars()) {
            try (Stream<Path> files = Files.isDirectory(jar) ? Files.walk(jar) : Stream.empty()) {
                for (Path file : files.filter(file -> !Files.isDirectory(file, LinkOption.NOFOLLOW_LINKS))
                        .toList()) {
                    if (temporary.contains(file)
                            || (Files.isSymbolicLink(file) && (wanted.contains(file) || !Files.exists(file)))) {
                        Files.delete(file);
                    }
                }
            }
        }
    }

    private static Path temporary(Path library) {
        return library.resolveSibling("." + library.getFileName() + TEMPORARY);
    }

    /** Returns the list's file for the jars in use; other versions of the jars have another list. */
    private Path loadedFile() {
        CRC32 names = new CRC32();
        jars().stream()
                .map(jar -> jar.getFileName() + "\n")
                .sorted()
                .forEach(name -> names.update(name.getBytes(StandardCharsets.UTF_8)));
        return folder.resolve(String.format(Locale.ROOT, "%s%08x", LOADED, names.getValue()));
    }

    /** Returns true if any version has loaded libtorch from the folder before. */
    static boolean wasLoaded(Path folder) throws IOException {
        try (DirectoryStream<Path> lists = Files.newDirectoryStream(folder, LOADED + "????????")) {
            return lists.iterator().hasNext();
        }
    }

    private List<Path> jars() {
        return libraries.stream()
                .map(library -> folder.resolve(folder.relativize(library.file).getName(0)))
                .distinct()
                .toList();
    }

    private boolean isComplete() throws IOException {
        for (Library library : libraries) {
            if (!library.isWhole()) {
                return false;
            }
        }
        try {
            return Files.readString(loadedFile()).equals(listing());
        } catch (IOException e) {
            return false;
        }
    }

    /** Returns every file and link of the jars in use, one per line. */
    private String listing() throws IOException {
        Map<String, String> lines = new TreeMap<>();
        for (Path jar : jars()) {
            try (Stream<Path> files = Files.isDirectory(jar) ? Files.walk(jar) : Stream.empty()) {
                for (Path file : (Iterable<Path>) files::iterator) {
                    if (Files.isSymbolicLink(file)) {
                        lines.put(folder.relativize(file).toString(), "-> " + Files.readSymbolicLink(file));
                    } else if (Files.isRegularFile(file)) {
                        lines.put(
                                folder.relativize(file).toString(),
                                Files.size(file) + " "
                                        + Files.getLastModifiedTime(file).toMillis());
                    }
                }
            }
        }
        StringBuilder text = new StringBuilder();
        lines.forEach((name, what) -> text.append(name).append(' ').append(what).append('\n'));
        return text.toString();
    }

    private void unpack() throws IOException {
        List<Library> missing = new ArrayList<>();
        for (Library library : libraries) {
            if (!library.isWhole() && !isOfAnotherTimeZone(library)) {
                missing.add(library);
            }
        }
        long bytes =
                missing.stream().mapToLong(library -> library.entry.getSize()).sum();
        try {
            for (Library library : missing) {
                unpack(library);
            }
        } catch (IOException e) {
            long free = Files.getFileStore(folder).getUsableSpace();
            String text = String.valueOf(e.getMessage()).toLowerCase(Locale.ROOT);
            if (free < bytes
                    || text.contains("no space left")
                    || text.contains("quota exceeded")
                    || text.contains("not enough space")) {
                throw new IOException(
                        String.format(
                                Locale.ROOT,
                                "no space left in the cache folder %s: its libraries need %.0f MB, %.0f MB"
                                        + " are free: delete something there, or %s",
                                folder,
                                bytes * 1e-6,
                                free * 1e-6,
                                CacheFolder.CHOOSE),
                        e);
            }
            throw new IOException(
                    "cannot unpack libraries to the cache folder " + folder + " (" + CacheFolder.reason(e) + "): "
                            + CacheFolder.CHOOSE,
                    e);
        }
    }

    /** Sets a file's time if only that differs: jars hold local times, so another time zone expects another time. */
    private static boolean isOfAnotherTimeZone(Library library) throws IOException {
        if (!Files.isRegularFile(library.file, LinkOption.NOFOLLOW_LINKS)
                || Files.size(library.file) != library.entry.getSize()) {
            return false;
        }
        try (InputStream in = Files.newInputStream(library.file)) {
            if (copy(in, OutputStream.nullOutputStream()) != library.entry.getCrc()) {
                return false;
            }
        }
        Files.setLastModifiedTime(library.file, FileTime.fromMillis(library.entry.getTime()));
        return library.isWhole();
    }

    private static void unpack(Library library) throws IOException {
        Path target = library.file;
        Files.createDirectories(Objects.requireNonNull(target.getParent()));
        Path temporary = temporary(target);
        try {
            long crc;
            try (InputStream in = library.jar.getInputStream(library.entry);
                    OutputStream out = Files.newOutputStream(temporary)) {
                crc = copy(in, out);
            }
            if (Files.size(temporary) != library.entry.getSize() || crc != library.entry.getCrc()) {
                throw new IOException("the jar " + library.jar.getName() + " is damaged at " + library.entry.getName()
                        + ": delete it and let Maven load it again");
            }
            Files.setLastModifiedTime(temporary, FileTime.fromMillis(library.entry.getTime()));
            Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } finally {
            Files.deleteIfExists(temporary);
        }
    }

    private static long copy(InputStream in, OutputStream out) throws IOException {
        CheckedInputStream checked = new CheckedInputStream(in, new CRC32());
        byte[] buffer = new byte[BUFFER];
        for (int read = checked.read(buffer); read >= 0; read = checked.read(buffer)) {
            out.write(buffer, 0, read);
        }
        return checked.getChecksum().getValue();
    }

    /** Finds the libraries in jars; JavaCPP copies none that are not in a jar. */
    private static List<Library> libraries(Path folder, ClassLoader loader) throws IOException {
        List<Library> found = new ArrayList<>();
        for (String name : NAMES) {
            for (String extension : Arrays.asList("", "-gpu")) {
                String place = PACKAGES + name + "/" + Loader.getPlatform() + extension + "/";
                for (URL url : Collections.list(loader.getResources(place))) {
                    URLConnection connection = url.openConnection();
                    if (connection instanceof JarURLConnection inJar) {
                        JarFile jar = inJar.getJarFile();
                        String jarName = new File(jar.getName()).getName();
                        jar.stream()
                                .filter(entry -> isLibrary(entry.getName(), place))
                                .forEach(entry -> found.add(new Library(
                                        jar, entry, folder.resolve(jarName).resolve(entry.getName()))));
                    }
                }
            }
        }
        return found;
    }

    private static boolean isLibrary(String entry, String place) {
        String name = entry.startsWith(place) ? entry.substring(place.length()) : "/";
        return !name.contains("/") && LIBRARY.matcher(name).matches() && !name.contains(UNUSED);
    }

    private static @Nullable FileChannel lockFile(Path folder) throws IOException {
        Path file = folder.resolve(LOCK);
        try {
            return FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
        } catch (IOException e) {
            if (Files.isWritable(folder)) {
                throw new IOException(
                        "cannot lock the cache folder " + folder + " (" + CacheFolder.reason(e) + "): "
                                + CacheFolder.CHOOSE,
                        e);
            }
        }
        try {
            return FileChannel.open(file, StandardOpenOption.READ);
        } catch (NoSuchFileException e) {
            return null;
        }
    }

    private void lock(boolean shared) throws IOException {
        if (channel == null) {
            return;
        }
        if (lock != null) {
            lock.release();
        }
        lock = lock(folder, channel, shared);
    }

    @SuppressWarnings("UnusedException")
    static FileLock lock(Path folder, FileChannel channel, boolean shared) throws IOException {
        while (true) {
            try {
                return channel.lock(0, Long.MAX_VALUE, shared);
            } catch (OverlappingFileLockException busy) {
                // The same class in another class loader of this process holds the lock.
                sleep();
            } catch (IOException e) {
                throw new IOException(
                        "cannot lock the cache folder " + folder + " (" + CacheFolder.reason(e)
                                + "); some network file " + "systems do not support locks: " + CacheFolder.CHOOSE,
                        e);
            }
        }
    }

    private static void sleep() throws IOException {
        try {
            Thread.sleep(20);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("the thread that loads libtorch was interrupted: try again", e);
        }
    }
}
