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
 * The folder that native libraries are unpacked to, safe where several processes start at once and after a start that was interrupted.
 *
 * <p>JavaCPP looks for a library at {@code FOLDER/JAR/PATH}, unpacks it in place where size or time differ from the jar's, and makes
 * links between jars. It locks less than that needs, so a second process can truncate a library that the first has mapped.
 * Here libraries are put in place whole, by renaming, under a lock; JavaCPP then loads them under the same lock. A list of
 * all files and links, written after a load that succeeded, shows later starts that nothing will be changed: they share the lock.
 *
 * <p>Other programs may share the folder: their files stay, and each set of jars has its own list.
 */
final class NativeCache implements AutoCloseable {
    /** The list of what was there after a load that succeeded; a hash of the jars' names follows. */
    private static final String LOADED = ".metaflowmaps-loaded-";

    private static final String TEMPORARY = ".tmp";

    private static final Logger LOG = LoggerFactory.getLogger(NativeCache.class);
    private static final String LOCK = ".metaflowmaps-lock";
    private static final Pattern LIBRARY = Pattern.compile(".+\\.(so(\\.[0-9.]+)?|dylib|jnilib|dll)");
    private static final String PACKAGES = "org/bytedeco/";
    private static final List<String> NAMES = List.of("javacpp", "openblas", "mkl", "cuda", "pytorch");
    /** Never loaded here: the names of all of LAPACK. */
    private static final String UNUSED = "jniopenblas_full";

    private static final int BUFFER = 1 << 20;

    private final Path folder;
    private final @Nullable FileChannel channel;
    private final List<Library> libraries;
    private @Nullable FileLock lock;
    private boolean changes;

    /** A library in a jar, and the place that JavaCPP expects it at. */
    private record Library(JarFile jar, JarEntry entry, Path file) {
        /** True if JavaCPP will take the file as it is. */
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
     * Locks the folder and unpacks what is missing or damaged. Libraries are to be loaded before {@link #close}.
     *
     * @throws IOException if the folder cannot be used, with the cure
     */
    static NativeCache open() throws IOException {
        Path chosen = new CacheFolder(System::getProperty, System::getenv).choose();
        if (System.getProperty(CacheFolder.PROPERTY) != null || System.getProperty(CacheFolder.JAVACPP) == null) {
            System.setProperty(CacheFolder.JAVACPP, chosen.toString());
        }
        // Another folder than the chosen one where an application has used JavaCPP before.
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

    /** Says that all libraries were loaded from here. */
    void loaded() {
        if (!changes) {
            return;
        }
        try {
            Path loaded = loadedFile();
            Path temporary = Files.writeString(loaded.resolveSibling(loaded.getFileName() + TEMPORARY), listing());
            Files.move(temporary, loaded, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            LOG.debug("Not noted; the next start takes the exclusive lock again", e);
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
            throw new IOException(
                    "the cache folder " + folder + " may not be written, and lacks libraries: " + CacheFolder.CHOOSE);
        }
        lock(false);
        changes = true;
        // Another process may have been faster.
        if (!isComplete()) {
            Files.deleteIfExists(loadedFile());
            deleteLeftovers();
            unpack();
        }
    }

    /**
     * Deletes what killed processes left of {@link #unpack}, and links that lead nowhere or are where a library belongs. Other files
     * may be another program's; JavaCPP itself replaces links with other targets and its own renamed copies.
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

    /** The list for the jars in use; another version of them has another one. */
    private Path loadedFile() {
        CRC32 names = new CRC32();
        jars().stream()
                .map(jar -> jar.getFileName() + "\n")
                .sorted()
                .forEach(name -> names.update(name.getBytes(StandardCharsets.UTF_8)));
        return folder.resolve(String.format(Locale.ROOT, "%s%08x", LOADED, names.getValue()));
    }

    /** True if libtorch was loaded from a folder before, by any version. */
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

    /** Every file and link of the jars in use, one a line. */
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

    /** Jars hold local times, so a process in another time zone expects other ones. If only the time differs, sets it. */
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

    /** Where the class path is not made of jars, JavaCPP needs no copy. */
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
                // Held by the same class in another class loader of this process.
                sleep();
            } catch (IOException e) {
                throw new IOException(
                        "cannot lock the cache folder " + folder + " (" + CacheFolder.reason(e)
                                + "); some network file " + "systems have no locks: " + CacheFolder.CHOOSE,
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
